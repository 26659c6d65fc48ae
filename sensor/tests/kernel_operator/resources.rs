//! A spike of the machine's own resources arrives where incidents do. Of the network: what a namespace moves is its own, while
//! processors are everybody's, and what a test can add to them is anybody's guess.

use std::{
    fs,
    net::UdpSocket,
    thread,
    time::{Duration, Instant},
};

use crate::{
    PATIENCE, Sensor, model,
    netns::{Pair, Serial, pause},
    receivers::{free_port, get},
    write,
};

/// What is sent each second, of 1 MB that matters; by the clock, since how long a pause lasts is the machine's to say.
const BYTES_PER_SECOND: f64 = 5e6;
const GAP: Duration = Duration::from_millis(5);
const DATAGRAM: [u8; 1400] = [0; 1400];

#[test]
#[ignore = "kernel: needs root"]
fn a_spike_of_the_machine_is_one_incident_in_the_eve_file() {
    let _serial = Serial::take();
    let (pair, folder) = (Pair::new(), tempfile::tempdir().expect("a folder"));
    let here = folder.path();
    let (model, metrics) = (model(here), free_port());
    let eve = here.join("eve.json");
    let config = write(
        here,
        "sensor.toml",
        &format!(
            "[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n[dashboard]\nlisten = \"\"\n\
             [eve]\nfile = \"{}\"\nevents = [\"alert\"]\n\
             [resources]\nhold = \"2s\"\nleast_bytes = 1000000\n",
            eve.display()
        ),
    );
    let mut sensor = Sensor::start(&pair, &model, &config, &[]);
    sensor.await_port(&pair, metrics);
    let knows = || {
        let text = get(&pair.b, metrics, "/metrics").unwrap_or_default();
        text.contains("anomaly_detect_resource_threshold{resource=\"network\"}")
    };
    let begin = Instant::now();
    while !knows() {
        assert!(
            begin.elapsed() < PATIENCE,
            "nothing usual: {}",
            sensor.said()
        );
        pause(Duration::from_millis(500));
    }
    println!("what is usual is known after {:.0?}", begin.elapsed());

    let spikes = || -> Vec<serde_json::Value> {
        let text = fs::read_to_string(&eve).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|event: &serde_json::Value| {
                event["alert"]["signature"] == "anomaly-detect network spike"
                    && event["alert"]["metadata"]["incident_stage"][0] == "new"
            })
            .collect()
    };
    assert!(spikes().is_empty(), "before there was one");
    let sink = pair
        .b
        .within(|| UdpSocket::bind("10.77.0.2:0").expect("bind"));
    let target = sink.local_addr().expect("bound");
    let begin = Instant::now();
    let found = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            pair.a.within(|| {
                let socket = UdpSocket::bind("10.77.0.1:0").expect("bind");
                let begin = Instant::now();
                while spikes().is_empty() && begin.elapsed() < PATIENCE {
                    let (burst, mut sent) = (Instant::now(), 0);
                    while burst.elapsed() < Duration::from_millis(500) {
                        while (sent as f64) < burst.elapsed().as_secs_f64() * BYTES_PER_SECOND {
                            // What finds no room in a queue is no loss here.
                            let _ = socket.send_to(&DATAGRAM, target);
                            sent += DATAGRAM.len();
                        }
                        pause(GAP);
                    }
                }
            });
        });
        sender.join().expect("no panic");
        spikes()
    });
    println!("in the EVE file after {:.1?}: {found:?}", begin.elapsed());
    let [spike] = &found[..] else {
        panic!("{} events: {}", found.len(), sensor.said());
    };
    let metadata = &spike["alert"]["metadata"];
    assert_eq!(metadata["incident_source"][0], "resources");
    let sentence = metadata["sentence"][0].as_str().unwrap_or_default();
    assert!(
        sentence.starts_with("This box moved over the network"),
        "{sentence}"
    );
    let told = get(&pair.b, metrics, "/metrics").unwrap_or_default();
    assert!(
        told.contains("anomaly_detect_resource_spikes_total{resource=\"network\"} 1\n"),
        "{told}"
    );
    let said = sensor.end();
    assert!(said.contains(" 0 unaccounted"), "{said}");
}
