//! The sinks as a live sensor runs them: with queue, spool and courier, against receivers that come, go and refuse.

use std::{collections::BTreeSet, path::Path, time::Duration};

use crossbeam::channel;
use sensor::{
    config::{Config, Grade, Target},
    metrics::Metrics,
    sink::{
        alert::example,
        mail::{Author, Letters, Mailer, Server as MailServer},
        message::{Message, Wants},
        notify::Roots,
        outlet::{Left, OutletSpec, Outlets, Settings, Standing},
        redis_stream::{Entries, Stream},
        webhook::{Bodies, Post},
    },
};
use serde_json::Value;

use crate::{
    made::{certificate, config, flows, message, secret},
    mail::Smtpd,
    receiver::{Answer, Receiver},
    redis_server::Server,
};

/// Runs one sink over these messages until it has come to rest.
fn run(
    spec: OutletSpec,
    folder: &Path,
    messages: impl IntoIterator<Item = Message>,
    meanwhile: impl FnOnce(),
) -> (Standing, Vec<Left>) {
    let settings = Settings {
        folder: Some(folder.join("spool")),
        first_retry: Duration::from_millis(20),
        longest_retry: Duration::from_millis(200),
        ..Settings::default()
    };
    let mut outlets = Outlets::new(settings, &Metrics::new(), std::sync::Arc::new(|_: &str| {}));
    let board = outlets.board();
    let (sender, queue) = channel::unbounded();
    outlets.start(spec, queue).expect("it starts");
    for message in messages {
        sender.send(message).expect("it listens");
    }
    meanwhile();
    drop(sender);
    // A bound against hanging; it ends when everything is delivered.
    let left = outlets.stop(Duration::from_secs(60));
    let standing = board.standings().pop().expect("one sink");
    (standing, left)
}

fn spec(
    name: &'static str,
    wants: Wants,
    encode: impl sensor::sink::outlet::Encode + 'static,
    deliver: impl sensor::sink::outlet::Deliver + 'static,
    batch: usize,
) -> OutletSpec {
    OutletSpec {
        name,
        folder: name.to_owned(),
        target: "here".to_owned(),
        wants,
        encode: Box::new(encode),
        deliver: Box::new(deliver),
        batch,
        gather: Duration::ZERO,
    }
}

#[test]
fn a_receiver_with_every_fault_gets_every_alert_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start([
        Answer::Status(503, "", "busy"),
        Answer::Close,
        Answer::Status(200, "", ""),
        Answer::Status(429, "retry-after: 0\r\n", ""),
        Answer::Hang,
        Answer::Status(400, "", "I do not like this one"),
        Answer::Status(500, "", ""),
    ]);
    let target = format!("json=http://{}/", receiver.address);
    let target = Target::parse(&target).expect("a target");
    let bodies = Bodies::new(&target, Grade::Low, false);
    // Long enough that only the answer that never comes is waited for in vain: another would be asked for again.
    let post = Post::new(&target, &Roots::default(), Duration::from_secs(10));
    let webhook = spec("webhook", Wants::ALERTS, bodies, post, 1);
    let (standing, left) = run(
        webhook,
        folder.path(),
        (0..20).map(example).map(message),
        || {
            // The end of a program cuts retries short: the faults are to be over by then.
            receiver.wait_for(8);
        },
    );
    assert_eq!(left[0].waiting, 0);
    assert_eq!((standing.delivered, standing.dead), (19, 1));
    let ids: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| {
            let alert: Value = serde_json::from_slice(&request.body).expect("an alert");
            u64::from_str_radix(alert["id"].as_str().expect("an id"), 16).expect("hexadecimal")
        })
        .collect();
    // The first three times, the second four times (of which the last is refused for good), the third twice.
    let wanted: Vec<u64> = [0, 0, 0, 1, 1, 1, 2].into_iter().chain(2..20).collect();
    assert_eq!(ids, wanted);
}

fn of_mail(config: &Config) -> (Letters, Mailer) {
    let author = Author {
        from: config.mail.from.clone().expect("a sender"),
        to: config.mail.to.clone(),
        sensor: "edge-1".to_owned(),
    };
    let server = MailServer::new(&config.mail, Roots::default()).expect("a server");
    let mailer = Mailer::new(server, author, config.mail.interval);
    (Letters::new(&config.mail), mailer)
}

#[test]
fn a_burst_of_alerts_is_a_few_mails_in_which_each_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(smtpd) = Smtpd::start("plain", folder.path(), &[]) else {
        return;
    };
    let config = config(&[
        ("mail.server", &format!("127.0.0.1:{}", smtpd.port)),
        ("mail.security", "plain"),
        ("mail.from", "s@example.org"),
        ("mail.to", "soc@example.org"),
        ("mail.interval", "1h"),
    ]);
    let (letters, mailer) = of_mail(&config);
    let mail = spec("mail", Wants::ALERTS, letters, mailer, 500);
    let (standing, left) = run(
        mail,
        folder.path(),
        (0..60).map(example).map(message),
        || {},
    );
    assert_eq!(
        (left[0].waiting, standing.delivered, standing.dead),
        (0, 60, 0)
    );
    let mails = smtpd.finish();
    // Five at once, and what was held back when the end came: alone they would be sixty.
    assert!(mails.len() <= 10, "{}", mails.len());
    let texts: String = mails
        .iter()
        .filter_map(|mail| mail["text"].as_str())
        .collect();
    let told: BTreeSet<_> = texts
        .split("incident ")
        .skip(1)
        .filter_map(|rest| rest.get(..16))
        .filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .collect();
    let more: u64 = texts
        .split("\nand ")
        .skip(1)
        .filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok())
        .sum();
    assert_eq!(told.len() as u64 + more, 60, "{texts}");
}

#[test]
fn entries_wait_for_a_redis_that_is_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut server) = Server::start(folder.path()) else {
        return;
    };
    server.kill();
    let config = config(&[
        ("redis.server", &format!("127.0.0.1:{}", server.port)),
        (
            "redis.password_file",
            &secret(folder.path(), "password", "s3cret\n"),
        ),
        ("redis.flows", "true"),
    ]);
    let entries = Entries::new(&config.redis, "edge-1");
    let stream = Stream::new(&config.redis)
        .expect("certificates")
        .expect("a server");
    let redis = spec("redis", Wants::ALL, entries, stream, 500);
    let messages = [message(example(1)), flows(3000), message(example(2))];
    let (standing, left) = run(redis, folder.path(), messages, || server.restart());
    assert_eq!(
        (left[0].waiting, standing.delivered, standing.dead),
        (0, 3002, 0)
    );
    let mut ids = BTreeSet::new();
    for entry in server.entries("anomaly-detect") {
        let text: String = entry.get("json").expect("a field");
        let entry: Value = serde_json::from_str(&text).expect("JSON");
        ids.insert(
            entry["flow_id"]
                .as_str()
                .or(entry["id"].as_str())
                .map(str::to_owned),
        );
    }
    // Alert 1 and flow 1 have the same digits, and alert 2 and flow 2.
    assert_eq!(ids.len(), 3000);
}

#[test]
fn what_no_one_takes_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    certificate(folder.path());
    let receiver = Receiver::tls(folder.path());
    let target = format!("json=https://{}/", receiver.address);
    let target = Target::parse(&target).expect("a target");
    let webhook = |roots: &Roots| {
        let bodies = Bodies::new(&target, Grade::Low, false);
        let post = Post::new(&target, roots, Duration::from_secs(5));
        spec("webhook", Wants::ALERTS, bodies, post, 1)
    };
    let stranger = webhook(&Roots::default());
    let alerts = (0..5).map(example).map(message);
    let (standing, _) = run(stranger, folder.path(), alerts, || {});
    assert_eq!(standing.delivered, 0);
    assert!(!standing.is_up);
    // Its certificate is trusted now, and the sensor starts again.
    let roots = Roots::read(Some(&folder.path().join("cert.pem"))).expect("a certificate");
    let (standing, left) = run(webhook(&roots), folder.path(), [message(example(5))], || {});
    assert_eq!((left[0].waiting, standing.delivered), (0, 6));
    assert_eq!(receiver.requests().len(), 6);
}
