//! Posts to a receiver that takes, refuses, is busy, hangs, breaks off and redirects.

use std::time::{Duration, Instant};

use sensor::{
    config::{Grade, Target},
    score::{Severity, Stage},
    sink::{
        alert::example,
        notify::Roots,
        outlet::{Deliver as _, DeliveryError, Encode as _},
        webhook::{Bodies, Post, folder},
    },
};
use sha2::{Digest as _, Sha256};

use crate::{
    made::{certificate, message, secret},
    nobody::Nobody,
    receiver::{Answer, Receiver},
};

fn post(target: &str, timeout: Duration) -> Post {
    let target = Target::parse(target).expect("a target");
    Post::new(&target, &Roots::default(), timeout)
}

fn at(receiver: &Receiver) -> Post {
    let target = format!("json=http://{}/hook?key=SECRET", receiver.address);
    post(&target, Duration::from_secs(10))
}

#[test]
fn each_status_is_understood() {
    #[derive(Debug, PartialEq)]
    enum Became {
        Delivered,
        Later(Option<u64>),
        Never,
    }
    use Became::{Delivered, Later, Never};
    for (status, headers, wanted) in [
        (200, "", Delivered),
        (202, "", Delivered),
        (204, "", Delivered),
        (429, "retry-after: 17\r\n", Later(Some(17))),
        (503, "retry-after: 99999\r\n", Later(Some(600))),
        (500, "", Later(None)),
        (408, "", Later(None)),
        (301, "location: http://127.0.0.1:1/\r\n", Later(None)),
        (307, "location: http://127.0.0.1:1/\r\n", Later(None)),
        (400, "", Never),
        (403, "", Never),
        (404, "", Never),
        (410, "", Never),
    ] {
        let receiver = Receiver::start([Answer::Status(status, headers, "because\r\nof this")]);
        let mut post = at(&receiver);
        let (taken, result) = post.deliver(&[b"{}".to_vec()]);
        let became = match &result {
            Ok(()) => Delivered,
            Err(DeliveryError::Later { after, .. }) => Later(after.map(|after| after.as_secs())),
            Err(DeliveryError::Never { .. }) => Never,
            Err(DeliveryError::Wait(_)) => panic!("nothing to wait for"),
        };
        assert_eq!(became, wanted, "{status}");
        assert_eq!(taken, usize::from(wanted == Delivered));
        assert!(
            receiver.requests().len() == 1,
            "{status}: redirects are not followed"
        );
        if status != 204 {
            assert!(post.said().contains("because"), "{}", post.said());
        }
        assert!(!post.said().contains(['\r', '\n']));
        if let Err(error) = result {
            assert!(!error.to_string().contains("SECRET"), "{error}");
        }
    }
}

#[test]
fn a_busy_receiver_is_left_alone_as_long_as_it_asked() {
    let receiver = Receiver::start([Answer::Status(429, "retry-after: 30\r\n", "")]);
    let mut post = at(&receiver);
    let parcels = [b"{}".to_vec()];
    assert!(matches!(
        post.deliver(&parcels).1,
        Err(DeliveryError::Later { after: Some(_), .. })
    ));
    assert!(matches!(
        post.deliver(&parcels).1,
        Err(DeliveryError::Wait(_))
    ));
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn what_breaks_off_or_hangs_is_tried_again() {
    let receiver = Receiver::start([Answer::Close, Answer::Hang]);
    let target = format!("json=http://{}/SECRET", receiver.address);
    let mut patient = post(&target, Duration::from_secs(10));
    let mut impatient = post(&target, Duration::from_millis(300));
    let parcels = [b"1".to_vec(), b"2".to_vec()];
    let later = |post: &mut Post| {
        let (taken, result) = post.deliver(&parcels);
        let Err(DeliveryError::Later { why, after: None }) = result else {
            panic!("{result:?}");
        };
        assert_eq!(taken, 0);
        assert!(!why.contains("SECRET"), "{why}");
        why
    };
    let why = later(&mut patient);
    assert!(!why.contains("no answer"), "{why}");
    // Asked again where it gave up before all was sent.
    while receiver.requests().len() < 2 {
        let begun = Instant::now();
        let why = later(&mut impatient);
        assert!(why.contains("no answer within 300 ms"), "{why}");
        assert!(begun.elapsed() < Duration::from_secs(20));
        receiver.wait_for(2);
    }
    assert_eq!(patient.deliver(&parcels), (2, Ok(())));
    let bodies: Vec<_> = receiver
        .requests()
        .into_iter()
        .map(|request| request.body)
        .collect();
    assert_eq!(bodies, [b"1", b"1", b"1", b"2"]);
}

#[test]
fn nobody_there_is_tried_again() {
    let nobody = Nobody::new();
    let result = post(
        &format!("slack=http://{}/SECRET", nobody.address),
        Duration::from_secs(5),
    )
    .deliver(&[b"{}".to_vec()]);
    let (0, Err(DeliveryError::Later { why, .. })) = result else {
        panic!("{result:?}");
    };
    assert!(!why.contains("SECRET"), "{why}");
}

/// HMAC-SHA256 written down once more, the slow way of RFC 2104, so that ours is not compared with itself.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut padded = key.to_vec();
    padded.resize(64, 0);
    let pad = |with: u8| padded.iter().map(|byte| byte ^ with).collect::<Vec<_>>();
    let inner = Sha256::digest([pad(0x36), message.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

#[test]
fn the_receiver_can_tell_who_posted_and_what_comes_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = secret(folder.path(), "token", "t0ken\n");
    let key = secret(folder.path(), "key", "a key of some length\n");
    let receiver = Receiver::start([Answer::Status(500, "", "")]);
    let target = format!(
        "json=http://{}/ token_file={token} secret_file={key}",
        receiver.address
    );
    let mut post = post(&target, Duration::from_secs(10));
    let mut parcels = Vec::new();
    Bodies::new(
        &Target::parse(&target).expect("a target"),
        Grade::Low,
        false,
    )
    .encode(&message(example(1)), &mut parcels);
    assert!(post.deliver(&parcels).1.is_err());
    assert_eq!(post.deliver(&parcels), (1, Ok(())));
    let [first, again] = receiver.requests().try_into().expect("two requests");
    assert_eq!(first.header("webhook-id"), again.header("webhook-id"));
    assert!(again.line.starts_with("POST / HTTP/1.1"));
    assert_eq!(again.header("authorization"), Some("Bearer t0ken"));
    assert_eq!(again.header("content-type"), Some("application/json"));
    let named = |name| again.header(name).expect("a header");
    let mut signed =
        format!("{}.{}.", named("webhook-id"), named("webhook-timestamp")).into_bytes();
    signed.extend(&again.body);
    let base64 = named("webhook-signature")
        .strip_prefix("v1,")
        .expect("version 1");
    let mut plain = Vec::new();
    let mut bits = 0_u32;
    for (at, digit) in base64.trim_end_matches('=').bytes().enumerate() {
        let place = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            .iter()
            .position(|known| *known == digit);
        bits = bits << 6 | place.expect("base64") as u32;
        if at % 4 != 0 {
            plain.push((bits >> (6 - 2 * (at % 4))) as u8);
        }
    }
    assert_eq!(plain, hmac(b"a key of some length", &signed));
    // Renewed while the sensor runs.
    std::fs::write(&token, "another\n").expect("a file");
    assert_eq!(post.deliver(&parcels), (1, Ok(())));
    let last = receiver.requests().pop().expect("a third");
    assert_eq!(last.header("authorization"), Some("Bearer another"));
    std::fs::remove_file(&token).expect("it was there");
    assert!(matches!(
        post.deliver(&parcels),
        (0, Err(DeliveryError::Later { .. }))
    ));
}

#[test]
fn only_certificates_that_are_trusted_are() {
    let folder = tempfile::tempdir().expect("a folder");
    certificate(folder.path());
    let receiver = Receiver::tls(folder.path());
    let target = format!("slack=https://{}/", receiver.address);
    let target = Target::parse(&target).expect("a target");
    let timeout = Duration::from_secs(10);
    let stranger = Post::new(&target, &Roots::default(), timeout).deliver(&[b"{}".to_vec()]);
    let (0, Err(DeliveryError::Later { why, .. })) = stranger else {
        panic!("{stranger:?}");
    };
    assert!(why.contains("UnknownIssuer"), "{why}");
    assert!(why.contains("webhook.ca_file"), "{why}");
    assert!(receiver.requests().is_empty());
    let roots = Roots::read(Some(&folder.path().join("cert.pem"))).expect("a certificate");
    let known = Post::new(&target, &roots, timeout).deliver(&[b"{}".to_vec()]);
    assert_eq!(known, (1, Ok(())));
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn people_are_told_less_than_programs() {
    let told = |target: &str, ends| {
        let target = Target::parse(target).expect("a target");
        let mut bodies = Bodies::new(&target, Grade::Medium, ends);
        let mut counts = Vec::new();
        for (stage, severity) in [
            (Stage::New, Severity::Low),
            (Stage::New, Severity::Medium),
            (Stage::Progress, Severity::Medium),
            (Stage::Grown, Severity::High),
            (Stage::Over, Severity::High),
        ] {
            let mut parcels = Vec::new();
            let mut alert = example(1);
            (alert.stage, alert.severity) = (stage, severity);
            bodies.encode(&message(alert), &mut parcels);
            counts.push(parcels.len());
        }
        counts
    };
    assert_eq!(told("slack=https://a/", false), [0, 1, 0, 1, 0]);
    assert_eq!(told("slack=https://a/", true), [0, 1, 0, 1, 1]);
    assert_eq!(told("json=https://a/", false), [0, 1, 0, 1, 1]);
    assert_eq!(
        told("slack=https://a/ min_severity=high", false),
        [0, 0, 0, 1, 0]
    );
}

#[test]
fn targets_wait_in_folders_of_their_own() {
    let name = |text| folder(&Target::parse(text).expect("a target"));
    assert_ne!(name("slack=https://a/1"), name("slack=https://a/2"));
    assert_eq!(
        name("slack=https://a/SECRET"),
        name("slack=https://a/SECRET min_severity=high")
    );
    assert!(!name("slack=https://a/SECRET").contains("SECRET"));
}
