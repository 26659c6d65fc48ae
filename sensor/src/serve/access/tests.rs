use axum::http::HeaderValue;

use super::*;

fn loopback() -> Access {
    Access::new(
        "127.0.0.1:9478".parse().unwrap(),
        None,
        &["sensor.example".to_owned()],
    )
    .unwrap()
}

fn with_token() -> (tempfile::TempDir, Access) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "0123456789abcdef0123\n").unwrap();
    let access = Access::new("0.0.0.0:9478".parse().unwrap(), Some(&file), &[]).unwrap();
    (folder, access)
}

#[test]
fn names_that_others_can_point_here_are_refused() {
    let access = loopback();
    for host in [
        "127.0.0.1:9478",
        "localhost",
        "LOCALHOST:1",
        "[::1]:9478",
        "sensor.example",
        "127.9.9.9",
    ] {
        assert!(access.knows(host), "{host}");
    }
    for host in [
        "",
        "evil.example",
        "127.0.0.1.evil.example:9478",
        "localhost.evil.example",
        "192.0.2.1",
        "[2001:db8::1]",
    ] {
        assert!(!access.knows(host), "{host}");
    }
    let (_folder, beyond) = with_token();
    assert!(beyond.knows("192.0.2.1:9478") && !beyond.knows("evil.example"));
}

#[test]
fn beyond_loopback_a_token_is_needed_and_a_good_one() {
    let all: SocketAddr = "0.0.0.0:9478".parse().unwrap();
    assert!(matches!(
        Access::new(all, None, &[]),
        Err(AccessError::NoToken(_))
    ));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    for weak in [
        "",
        "short",
        "has spaces in it, many",
        "zwölf-und-noch-mehr-zeichen",
    ] {
        std::fs::write(&file, weak).unwrap();
        assert!(
            matches!(
                Access::new(all, Some(&file), &[]),
                Err(AccessError::Weak(_))
            ),
            "{weak}"
        );
    }
}

#[test]
fn tokens_and_sessions_admit_and_nothing_like_them() {
    let (_folder, access) = with_token();
    let asks = |name: header::HeaderName, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        access.admits(&headers)
    };
    assert!(!access.admits(&HeaderMap::new()));
    assert!(asks(header::AUTHORIZATION, "Bearer 0123456789abcdef0123"));
    for wrong in [
        "Bearer 0123456789abcdef012",
        "Bearer 0123456789abcdef01234",
        "Basic 0123456789abcdef0123",
        "0123456789abcdef0123",
    ] {
        assert!(!asks(header::AUTHORIZATION, wrong), "{wrong}");
    }
    let cookie = access.log_in("0123456789abcdef0123").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    let pair = cookie.split(';').next().unwrap().to_owned();
    assert!(asks(header::COOKIE, &format!("other=1; {pair}")));
    let (until, _) = pair.split_once('=').unwrap().1.split_once('.').unwrap();
    let until: u64 = until.parse().unwrap();
    let later = pair.replace(&until.to_string(), &(until + 1).to_string());
    assert!(
        !asks(header::COOKIE, &later),
        "the end of a session is signed"
    );
    let old = format!("{COOKIE}={}.{}", 1, access.rules().sign(1));
    assert!(!asks(header::COOKIE, &old), "a session ends");
    let (_other, another) = with_token();
    assert_ne!(
        access.rules().sign(until),
        another.rules().sign(until),
        "sessions end with the program"
    );
}

#[test]
fn another_token_is_taken_while_it_is_served_and_ends_sessions() {
    let (folder, access) = with_token();
    let file = folder.path().join("token");
    let all: SocketAddr = "0.0.0.0:9478".parse().unwrap();
    let served = access.clone();
    let shows = |cookie: &str| {
        let mut headers = HeaderMap::new();
        let pair = cookie.split(';').next().unwrap();
        headers.insert(header::COOKIE, HeaderValue::from_str(pair).unwrap());
        served.admits(&headers)
    };
    let cookie = served.log_in("0123456789abcdef0123").unwrap();
    let names = ["sensor.example".to_owned()];
    access.adopt(&Access::new(all, Some(&file), &names).unwrap());
    assert!(served.knows("sensor.example"));
    assert!(shows(&cookie), "the same token: sessions go on");
    std::fs::write(&file, "another-token-of-some-length\n").unwrap();
    access.adopt(&Access::new(all, Some(&file), &[]).unwrap());
    assert!(!shows(&cookie) && !served.knows("sensor.example"));
    assert_eq!(
        served.log_in("0123456789abcdef0123"),
        Err(LoginError::Wrong)
    );
    assert!(shows(
        &served.log_in("another-token-of-some-length").unwrap()
    ));
}

#[test]
fn guessing_is_slowed_down() {
    let (_folder, access) = with_token();
    for _ in 0..TRIES {
        assert_eq!(access.log_in("wrong"), Err(LoginError::Wrong));
    }
    assert_eq!(
        access.log_in("0123456789abcdef0123"),
        Err(LoginError::TooMany)
    );
}
