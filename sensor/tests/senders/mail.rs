//! Mails to a real server: aiosmtpd.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use sensor::{
    score::Stage,
    sink::{
        alert::{Alert, example},
        mail::{Author, Letters, Mailer, Server},
        notify::Roots,
        outlet::{Deliver as _, DeliveryError, Encode as _},
    },
};
use serde_json::Value;

use crate::{
    made::{certificate, config, hostile, message, secret},
    program,
};

/// Only a hang takes so long.
const HANGING: Duration = Duration::from_secs(60);

/// aiosmtpd on an ephemeral port; ends when it is dropped.
pub(crate) struct Smtpd {
    child: Child,
    lines: Receiver<String>,
    pub(crate) port: u16,
}

impl Smtpd {
    /// Nothing where there is no aiosmtpd.
    pub(crate) fn start(mode: &str, folder: &Path, account: &[&str]) -> Option<Self> {
        let python = python()?;
        certificate(folder);
        let mut child = Command::new(python)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/senders/smtpd.py"
            ))
            .arg(mode)
            .args(["cert.pem", "key.pem"])
            .args(account)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let (said, lines) = channel();
        thread::spawn(move || {
            out.lines()
                .map_while(Result::ok)
                .try_for_each(|line| said.send(line))
        });
        let mut this = Self {
            child,
            lines,
            port: 0,
        };
        let line = this.line().expect("a port");
        this.port = line.trim().parse().expect("a port");
        Some(this)
    }

    /// The next line; none at the end.
    fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(HANGING) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("aiosmtpd says nothing"),
        }
    }

    /// Ends the server. Answers what it took and was not asked for yet.
    pub(crate) fn finish(mut self) -> Vec<Value> {
        drop(self.child.stdin.take());
        std::iter::from_fn(|| self.line())
            .map(|line| serde_json::from_str(&line).expect("JSON"))
            .collect()
    }

    /// The next mail that was taken.
    pub(crate) fn mail(&self) -> Value {
        let line = self.line().expect("a mail");
        serde_json::from_str(&line).expect("JSON")
    }
}

impl Drop for Smtpd {
    fn drop(&mut self) {
        // Its own child, by its id.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Python that has aiosmtpd: the first in the path, or Debian's. Where receivers are demanded there must be one.
fn python() -> Option<PathBuf> {
    program::find("python3")?;
    let has = |python: &PathBuf| {
        let import = Command::new(python)
            .args(["-c", "import aiosmtpd"])
            .output();
        import.is_ok_and(|output| output.status.success())
    };
    let found = ["python3", "/usr/bin/python3"]
        .map(PathBuf::from)
        .into_iter()
        .find(has);
    let demanded = std::env::var_os("XTASK_RECEIVERS").is_some_and(|value| value == "demanded");
    assert!(
        found.is_some() || !demanded,
        "no Python with aiosmtpd, and receivers are demanded"
    );
    if found.is_none() {
        eprintln!("not run: no Python with aiosmtpd");
    }
    found
}

fn settings<'a>(server: &'a str, to: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("mail.server", server),
        ("mail.from", "Sensor <sensor@example.org>"),
        ("mail.to", to),
        ("mail.repeat", "0"),
        ("mail.ends", "true"),
        ("mail.timeout", "10s"),
    ]
}

fn mailer(settings: &[(&str, &str)]) -> (Letters, Mailer) {
    let mail = config(settings).mail;
    let roots = Roots::read(mail.ca_file.as_deref()).expect("certificates");
    let author = Author {
        from: mail.from.clone().expect("a sender"),
        to: mail.to.clone(),
        sensor: "edge-1".to_owned(),
    };
    let server = Server::new(&mail, roots).expect("a server");
    (
        Letters::new(&mail),
        Mailer::new(server, author, mail.interval),
    )
}

fn letters(encode: &mut Letters, alerts: impl IntoIterator<Item = Alert>) -> Vec<Vec<u8>> {
    let mut parcels = Vec::new();
    for alert in alerts {
        encode.encode(&message(alert), &mut parcels);
    }
    parcels
}

fn header<'a>(mail: &'a Value, name: &str) -> Option<&'a str> {
    let headers = mail["headers"].as_array()?;
    headers.iter().find(|header| header[0] == name)?[1].as_str()
}

#[test]
fn mails_on_one_incident_arrive_as_one_thread() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(smtpd) = Smtpd::start("starttls", folder.path(), &["sensor", "pass word"]) else {
        return;
    };
    let server = format!("127.0.0.1:{}", smtpd.port);
    let password = secret(folder.path(), "password", "pass word\n");
    let ca = folder.path().join("cert.pem").display().to_string();
    let mut settings = settings(&server, "soc@example.org,Night <n@example.org>");
    settings.extend([
        ("mail.username", "sensor"),
        ("mail.password_file", &password),
        ("mail.ca_file", &ca),
    ]);
    let (mut encode, mut mailer) = mailer(&settings);
    let mut again = example(1);
    (again.stage, again.count) = (Stage::Grown, 3248);
    let over = Alert {
        stage: Stage::Over,
        ..again.clone()
    };
    let parcels = letters(&mut encode, [example(1), again, over]);
    assert_eq!(mailer.deliver(&parcels), (3, Ok(())));
    assert_eq!(mailer.said(), "250 2.0.0 kept as 1");
    let [first, grown, over] = [smtpd.mail(), smtpd.mail(), smtpd.mail()];
    for mail in [&first, &grown, &over] {
        assert_eq!(mail["encrypted"], true);
        assert_eq!(mail["authenticated"], true);
        assert_eq!(mail["from"], "sensor@example.org");
        assert_eq!(
            mail["to"],
            serde_json::json!(["soc@example.org", "n@example.org"])
        );
        assert_eq!(mail["defects"], serde_json::json!([]));
        assert_eq!(
            mail["parts"],
            serde_json::json!(["multipart/alternative", "text/plain", "text/html"])
        );
    }
    let root = header(&first, "Message-ID").expect("a name");
    assert_eq!(header(&first, "References"), None);
    for later in [&grown, &over] {
        assert_eq!(header(later, "In-Reply-To"), Some(root));
        assert_eq!(header(later, "References"), Some(root));
        assert_eq!(
            header(later, "Subject"),
            Some("Re: [critical] port scan (vertical): 192.0.2.99")
        );
    }
    assert_ne!(header(&grown, "Message-ID"), header(&over, "Message-ID"));
    let text = first["text"].as_str().expect("text");
    assert!(text.contains("tried 812 ports on 192.0.2.1 in 60 s; usual for this host: at most 6"));
    assert!(text.contains("anomaly-detect alerts show 0000000000000001"));
    let html = first["html"].as_str().expect("HTML");
    assert!(html.contains("<td style=\"padding:2px 0\">T1046 Network Service Discovery</td>"));
    assert!(!html.contains("http"), "nothing is fetched from anywhere");
}

#[test]
fn many_alerts_are_one_mail_and_then_mails_keep_their_distance() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(smtpd) = Smtpd::start("tls", folder.path(), &[]) else {
        return;
    };
    let server = format!("localhost:{}", smtpd.port);
    let ca = folder.path().join("cert.pem").display().to_string();
    let mut settings = settings(&server, "soc@example.org");
    settings.extend([
        ("mail.security", "tls"),
        ("mail.ca_file", &ca),
        ("mail.interval", "1h"),
    ]);
    let (mut encode, mut mailer) = mailer(&settings);
    let parcels = letters(&mut encode, (0..4).map(example));
    assert_eq!(mailer.deliver(&parcels), (4, Ok(())));
    let parcels = letters(&mut encode, (100..140).map(example));
    assert_eq!(mailer.deliver(&parcels), (40, Ok(())));
    let next = mailer.deliver(&letters(&mut encode, [example(1000)]));
    assert!(matches!(next, (0, Err(DeliveryError::Wait(_)))), "{next:?}");
    mailer.stopping();
    assert_eq!(
        mailer.deliver(&letters(&mut encode, [example(1001)])),
        (1, Ok(()))
    );
    for _ in 0..4 {
        let subject = smtpd.mail();
        assert_eq!(
            header(&subject, "Subject"),
            Some("[critical] port scan (vertical): 192.0.2.99")
        );
    }
    let digest = smtpd.mail();
    assert_eq!(
        header(&digest, "Subject"),
        Some("[critical] 40 incidents: 40 critical")
    );
    assert_eq!(
        digest["text"]
            .as_str()
            .expect("text")
            .matches("since 2026-01-05")
            .count(),
        40
    );
    assert_eq!(digest["encrypted"], true);
}

#[test]
fn no_hostile_text_injects_anything_into_a_mail() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(smtpd) = Smtpd::start("plain", folder.path(), &[]) else {
        return;
    };
    let server = format!("127.0.0.1:{}", smtpd.port);
    let mut settings = settings(&server, "soc@example.org");
    settings.extend([("mail.security", "plain"), ("mail.interval", "0")]);
    let (mut encode, mut mailer) = mailer(&settings);
    for text in [
        "x\r\nBcc: victim@example.com\r\n\r\nbody",
        "=?utf-8?q?=0d=0aBcc:_victim=40example.com?=",
        "\r\n.\r\nMAIL FROM:<x@y.z>\r\n",
        ".\r\n..\r\n",
        "--x\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>",
        "\0\u{1}\u{202e}\u{2028}ä\u{1f534}",
        &"long ".repeat(3000),
    ] {
        let parcels = letters(&mut encode, [hostile(text)]);
        encode = Letters::new(&config(&settings).mail);
        assert_eq!(mailer.deliver(&parcels), (1, Ok(())), "{text:?}");
        let mail = smtpd.mail();
        assert_eq!(mail["to"], serde_json::json!(["soc@example.org"]));
        assert_eq!(mail["defects"], serde_json::json!([]), "{text:?}");
        let names: Vec<_> = mail["headers"]
            .as_array()
            .expect("headers")
            .iter()
            .map(|header| header[0].as_str().expect("a name"))
            .collect();
        assert_eq!(
            names,
            [
                "From",
                "To",
                "Subject",
                "Message-ID",
                "Auto-Submitted",
                "X-Auto-Response-Suppress",
                "X-Anomaly-Detect-Severity",
                "Importance",
                "MIME-Version",
                "Date",
                "Content-Type",
            ],
            "{text:?}"
        );
        assert_eq!(
            mail["parts"].as_array().expect("parts").len(),
            3,
            "{text:?}"
        );
        let subject = header(&mail, "Subject").expect("a subject");
        assert!(!subject.contains(char::is_control), "{subject:?}");
        let html = mail["html"].as_str().expect("HTML");
        assert!(!html.contains("<script"), "{text:?}");
    }
}

#[test]
fn what_is_refused_and_what_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(smtpd) = Smtpd::start("plain", folder.path(), &[]) else {
        return;
    };
    let server = format!("127.0.0.1:{}", smtpd.port);
    let deliver = |to: &str, from: &str, security: &str| {
        let mut settings = settings(&server, to);
        settings.extend([("mail.from", from), ("mail.security", security)]);
        let (mut encode, mut mailer) = mailer(&settings);
        let result = mailer.deliver(&letters(&mut encode, [example(1)]));
        (result, mailer.said())
    };
    let (from, plain) = ("s@example.org", "plain");
    // One of two is refused: the other has the mail all the same.
    let (result, said) = deliver("refused@example.org,b@example.org", from, plain);
    assert_eq!(result, (1, Ok(())));
    assert!(
        said.contains("refused@example.org") && said.contains("550"),
        "{said}"
    );
    assert_eq!(smtpd.mail()["to"], serde_json::json!(["b@example.org"]));
    let (result, _) = deliver("refused@example.org", from, plain);
    assert!(
        matches!(result, (0, Err(DeliveryError::Never { .. }))),
        "{result:?}"
    );
    let (result, _) = deliver("later@example.org", from, plain);
    assert!(
        matches!(result, (0, Err(DeliveryError::Later { .. }))),
        "{result:?}"
    );
    let (result, _) = deliver("b@example.org", "full@example.org", plain);
    assert!(
        matches!(result, (0, Err(DeliveryError::Later { .. }))),
        "{result:?}"
    );
    // Encryption that is asked for is not done without.
    let (result, _) = deliver("b@example.org", from, "starttls");
    let (0, Err(DeliveryError::Later { why, .. })) = &result else {
        panic!("{result:?}");
    };
    assert!(why.contains("offers no STARTTLS"), "{why}");
}

#[test]
fn a_wrong_password_or_certificate_is_said_and_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(smtpd) = Smtpd::start("starttls", folder.path(), &["sensor", "right"]) else {
        return;
    };
    let server = format!("127.0.0.1:{}", smtpd.port);
    let password = secret(folder.path(), "password", "wrong");
    let ca = folder.path().join("cert.pem").display().to_string();
    let account = [
        ("mail.username", "sensor"),
        ("mail.password_file", password.as_str()),
    ];
    for (more, word) in [
        (
            vec![("mail.ca_file", ca.as_str()), account[0], account[1]],
            "535",
        ),
        (vec![("mail.ca_file", ca.as_str())], "530"),
        (vec![], "mail.ca_file"),
    ] {
        let mut settings = settings(&server, "soc@example.org");
        settings.extend(more);
        let (mut encode, mut mailer) = mailer(&settings);
        let result = mailer.deliver(&letters(&mut encode, [example(1)]));
        let (0, Err(DeliveryError::Later { why, .. })) = &result else {
            panic!("{result:?}");
        };
        assert!(why.contains(word) && !why.contains("wrong"), "{why}");
    }
}

#[test]
fn a_server_that_hangs_is_left() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = silent.local_addr().expect("an address").to_string();
    let mut settings = settings(&server, "soc@example.org");
    settings.extend([("mail.security", "plain"), ("mail.timeout", "200ms")]);
    let (mut encode, mut mailer) = mailer(&settings);
    let begun = Instant::now();
    let result = mailer.deliver(&letters(&mut encode, [example(1)]));
    let (0, Err(DeliveryError::Later { why, .. })) = &result else {
        panic!("{result:?}");
    };
    assert!(why.contains("no answer in time"), "{why}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}
