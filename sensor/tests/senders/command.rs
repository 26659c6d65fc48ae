//! `sinks test`, as a person who sets up the sensor uses it.

use std::fs;

use crate::{
    cli_support::{run, stdout},
    made::secret,
    mail::Smtpd,
    receiver::{Answer, Receiver},
    redis_server,
};

#[test]
fn a_line_for_each_sink_says_what_the_receiver_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let chat = Receiver::start([Answer::Status(200, "", "ok")]);
    let broken = Receiver::start([Answer::Status(404, "", "no_service")]);
    let targets = folder.path().join("targets");
    let text = format!(
        "# chat\nslack=http://{}/services/SECRET\njson=http://{}/SECRET\n",
        chat.address, broken.address
    );
    fs::write(&targets, text).expect("a file");
    let setting = format!("webhook.targets_file={}", targets.display());
    let output = run(folder.path(), &["sinks", "test", "--set", &setting]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].starts_with("webhook slack 127.0.0.1: delivered in "),
        "{text}"
    );
    assert!(lines[0].ends_with(": 200 OK: ok"), "{text}");
    assert!(
        lines[1].starts_with("webhook json 127.0.0.1: NOT delivered after "),
        "{text}"
    );
    assert!(lines[1].ends_with(": 404 Not Found: no_service"), "{text}");
    assert!(!text.contains("SECRET"), "{text}");
    let body = String::from_utf8(chat.requests()[0].body.clone()).expect("UTF-8");
    assert!(body.contains("nothing happened"), "{body}");
}

#[test]
fn mail_and_redis_are_asked_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (Some(smtpd), Some(redis)) = (
        Smtpd::start("starttls", folder.path(), &["sensor", "right"]),
        redis_server::Server::start(folder.path()),
    ) else {
        return;
    };
    secret(folder.path(), "mail.password", "right\n");
    secret(folder.path(), "redis.password", "s3cret\n");
    let config = format!(
        "[mail]\nserver = \"127.0.0.1:{}\"\nfrom = \"sensor@example.org\"\nto = [\"soc@example.org\"]\n\
         username = \"sensor\"\npassword_file = \"mail.password\"\nca_file = \"cert.pem\"\n\
         min_severity = \"critical\"\n\n[redis]\nserver = \"127.0.0.1:{}\"\npassword_file = \"redis.password\"\n",
        smtpd.port, redis.port
    );
    fs::write(folder.path().join("sensor.toml"), config).expect("a file");
    let asked = ["sinks", "test", "-c", "sensor.toml", "--format", "json"];
    let text = stdout(folder.path(), &asked);
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (line, sink) in lines.iter().zip(["mail 127.0.0.1:", "redis 127.0.0.1:"]) {
        assert!(
            line["sink"].as_str().expect("a name").starts_with(sink),
            "{text}"
        );
        assert_eq!(line["delivered"], true, "{text}");
    }
    assert_eq!(lines[0]["said"], "250 2.0.0 kept as 1");
    assert_eq!(smtpd.mail()["to"], serde_json::json!(["soc@example.org"]));
    assert_eq!(redis.entries("anomaly-detect").len(), 1);
    let one = stdout(
        folder.path(),
        &["sinks", "test", "redis", "-c", "sensor.toml"],
    );
    assert_eq!(one.lines().count(), 1, "{one}");
}

#[test]
fn faults_are_one_line_and_hold_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("targets"),
        "\nslack=https://u:SECRET@a/\n",
    )
    .expect("a file");
    for (arguments, words) in [
        (vec![], "no sink is configured"),
        (
            vec!["--set", "webhook.targets_file=targets"],
            "targets:2: the address behind slack=",
        ),
        (vec!["--set", "webhook.targets_file=absent"], "absent: "),
        (
            vec!["--set", "webhook.ca_file=targets"],
            "targets: holds no certificate",
        ),
        (
            vec!["--set", "webhook.targets=json=http://192.0.2.1/SECRET"],
            "webhook.plain",
        ),
        (
            vec![
                "--set",
                "mail.server=mx.example.org",
                "--set",
                "mail.security=plain",
            ],
            "plain-anywhere",
        ),
    ] {
        let output = run(
            folder.path(),
            &[vec!["sinks", "test"], arguments.clone()].concat(),
        );
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(
            matches!(output.status.code(), Some(2 | 78)),
            "{arguments:?}: {error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("SECRET"), "{error}");
    }
}
