//! Another configuration is taken while packets pass: the same programs on the same links, every packet counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::UdpSocket,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use aya::programs::{SchedClassifier, TcAttachType, loaded_links};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    PATIENCE, Sensor, model,
    netns::{Pair, Serial, pause},
    receivers::free_port,
    until, value, write,
};

/// Of a flow that is silent.
const IDLE: SignedDuration = SignedDuration::from_secs(1);
/// To which the EVE file cuts times.
const PRECISION: SignedDuration = SignedDuration::from_micros(1);

/// A flow of the sender's, as an EVE file has it.
#[derive(Debug)]
struct Flow {
    id: u64,
    port: u64,
    /// Its first packet and its last.
    span: [Timestamp; 2],
}

/// Those that are in a file by now; none where there is no file.
fn flows(file: &Path) -> Vec<Flow> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let time = |event: &Value, name: &str| {
        let text = event["flow"][name].as_str().expect("a time");
        text.parse().expect("a time")
    };
    text.lines()
        // The last line may be half written.
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["dest_ip"] == "10.77.0.2" && event["proto"] == "UDP")
        .map(|event| Flow {
            id: event["flow_id"].as_u64().expect("an id"),
            port: event["src_port"].as_u64().expect("a port"),
            span: ["start", "end"].map(|name| time(&event, name)),
        })
        .collect()
}

/// Programs on veth-b, and the links that hold them there.
fn attached(pair: &Pair) -> BTreeSet<(u32, u32)> {
    let link = pair.b.ip(&["-d", "link", "show", "veth-b"]);
    let xdp = link.split("prog/xdp id ").nth(1);
    let xdp = xdp.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let tcx = pair
        .b
        .within(|| SchedClassifier::query_tcx("veth-b", TcAttachType::Egress))
        .expect("ask for TCX programs");
    let programs: BTreeSet<u32> = xdp
        .into_iter()
        .chain(tcx.1.iter().map(|program| program.id()))
        .collect();
    loaded_links()
        // Others' links come and go meanwhile.
        .filter_map(Result::ok)
        .filter(|link| programs.contains(&link.program_id()))
        .map(|link| (link.id(), link.program_id()))
        .collect()
}

/// Waits until a series has a value, and answers the last one seen.
fn until_it_is(pair: &Pair, port: u16, series: &str, wanted: f64) -> f64 {
    let begin = Instant::now();
    loop {
        let have = value(pair, port, series).unwrap_or(f64::NAN);
        if have == wanted || begin.elapsed() > PATIENCE {
            return have;
        }
        pause(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "kernel: needs root"]
fn another_configuration_is_taken_and_no_packet_is_lost() {
    const TAKEN: &str = "anomaly_detect_config_reloads_total{result=\"taken\"}";
    const REFUSED: &str = "anomaly_detect_config_reloads_total{result=\"refused\"}";
    const UDP: &str = "anomaly_detect_ip_packets_total{protocol=\"udp\"}";
    let _serial = Serial::take();
    let (pair, folder) = (Pair::new(), tempfile::tempdir().expect("a folder"));
    let here = folder.path();
    pair.hush();
    let model = model(here);
    let metrics = free_port();
    let configure = |budget: &str, eve: &str, capacity: u32| {
        let eve = here.join(eve);
        let text = format!(
            "[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n[dashboard]\nlisten = \"\"\n[score]\nalert_budget = \"{budget}\"\n\
             [flow]\ncapacity = {capacity}\n[eve]\nfile = \"{}\"\nevents = [\"flow\"]\n",
            eve.display()
        );
        write(here, "sensor.toml", &text)
    };
    let config = configure("20/day", "a.json", 1000);
    let mut sensor = Sensor::start(&pair, &model, &config, &["--idle-timeout", "1s"]);
    sensor.await_port(&pair, metrics);
    assert!(until_it_is(&pair, metrics, "anomaly_detect_learning_ratio", 1.0) == 1.0);
    // Its loop turns: who looks after signals is there.
    until("an epoch", || {
        value(&pair, metrics, "anomaly_detect_drains_total") >= Some(1.0)
    });
    let links = attached(&pair);
    assert_eq!(links.len(), 2, "XDP and TCX: {links:?}");
    let before = value(&pair, metrics, UDP).unwrap_or(0.0);

    let sink = pair
        .b
        .within(|| UdpSocket::bind("10.77.0.2:0").expect("bind"));
    let target = sink.local_addr().expect("bound");
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let hang_up = || {
        // SAFETY: kill takes no pointers; the process is our child and was not waited for.
        unsafe { libc::kill(sensor.0.id() as i32, libc::SIGHUP) };
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            pair.a.within(|| {
                // A port for each thousand packets: flows end all the while, and go to the EVE file of the moment.
                let mut ports = 20_000_u16..;
                while !over.load(Ordering::Relaxed) {
                    let port = ports.next().expect("few of them");
                    let socket = UdpSocket::bind(("10.77.0.1", port)).expect("bind");
                    for _ in 0..100 {
                        for _ in 0..10 {
                            if socket.send_to(&[0; 64], target).is_ok() {
                                sent.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        pause(Duration::from_millis(2));
                    }
                }
            });
        });
        for (at, (budget, eve)) in [("5/hour", "b.json"), ("1/day", "a.json"), ("", "c.json")]
            .into_iter()
            .enumerate()
        {
            let before = flows(&here.join(eve)).len();
            configure(budget, eve, 1000);
            hang_up();
            let wanted = at as f64 + 1.0;
            assert_eq!(until_it_is(&pair, metrics, TAKEN, wanted), wanted);
            until("flows end and go to the file of the moment", || {
                flows(&here.join(eve)).len() > before
            });
        }
        configure("many", "d.json", 1000);
        hang_up();
        assert_eq!(until_it_is(&pair, metrics, REFUSED, 1.0), 1.0);
        assert_eq!(
            value(
                &pair,
                metrics,
                "anomaly_detect_config_last_reload_successful"
            ),
            Some(0.0)
        );
        configure("", "c.json", 2000);
        hang_up();
        assert_eq!(until_it_is(&pair, metrics, TAKEN, 4.0), 4.0);
        over.store(true, Ordering::Relaxed);
    });
    let lost = pair.lost_before_hook();
    let sent = sent.load(Ordering::Relaxed) - lost;
    let counted = until_it_is(&pair, metrics, UDP, before + sent as f64) - before;
    let name = "anomaly_detect_config_keys_awaiting_restart";
    let waiting = value(&pair, metrics, name);
    let unaccounted = value(&pair, metrics, "anomaly_detect_unaccounted_packets_total");
    let after = attached(&pair);
    let said = sensor.end();
    println!(
        "{sent} packets sent, {lost} lost before the hook, {counted} counted, links {links:?}\n{said}"
    );
    assert_eq!(counted, sent as f64, "{said}");
    assert_eq!((unaccounted, waiting), (Some(0.0), Some(1.0)));
    assert_eq!(after, links, "let go of and attached anew");
    for line in [
        "in force now: score.alert_budget, eve.file\n",
        "sensor.toml:6: score.alert_budget: `many`",
        "only after a restart: flow.capacity\n",
    ] {
        assert!(said.contains(line), "`{line}` is not in: {said}");
    }
    // Each flow went to one file, and no other, and none was cut: a port has two only where its sender was away for longer than a flow
    // may be idle.
    let (mut ids, mut spans) = (BTreeSet::new(), BTreeMap::<u64, Vec<_>>::new());
    for name in ["a.json", "b.json", "c.json"] {
        let flows = flows(&here.join(name));
        println!("{name}: {} flows", flows.len());
        assert!(!flows.is_empty(), "{name} got none");
        for flow in flows {
            assert!(ids.insert(flow.id), "twice, and in {name}: {flow:?}");
            spans.entry(flow.port).or_default().push(flow.span);
        }
    }
    for (port, spans) in &mut spans {
        spans.sort_unstable();
        for [[_, end], [begin, _]] in spans.array_windows() {
            let idle = begin.duration_since(*end) + PRECISION;
            assert!(idle >= IDLE, "port {port}, cut: {spans:?}");
        }
    }
    assert!(
        !here.join("d.json").exists(),
        "of a configuration that was refused"
    );
}
