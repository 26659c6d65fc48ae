//! What is called an anomaly, under online control: in the program as it runs, not row by row (that is tested where the limit is made,
//! in `model/src/online_quantile.rs`).

use std::sync::Arc;

use model::{OnlineQuantile, Published};
use sensor::{
    capture::replay::{self, Replay},
    features::Row,
    flow::FlowRecord,
    learn,
    metrics::{Id, Metrics},
    pipeline::{self, Learning, Listener, Training, Watch},
    score::{IncidentSettings, Incidents, Scored},
};

use super::{
    day::{self, Habit, Sensor},
    watch::{Pretended, demo, models, settings},
};

/// Flow, bits of its limit, and whether it was called an anomaly.
type Said = (u64, u64, bool);

fn said(scored: &Scored) -> Said {
    (scored.record.id, scored.limit.to_bits(), scored.anomalous)
}

#[derive(Default)]
struct Witness(Vec<Said>);

impl Listener for Witness {
    fn flow(&mut self, _: &FlowRecord, _: &Row, verdict: Option<&Scored>) {
        self.0.extend(verdict.map(said));
    }
}

/// A live sensor takes epoch by epoch, a file is read in batches of many; and incidents are closed in the one and not in the other.
#[test]
fn the_same_packets_have_the_same_limits_live_and_from_a_file() {
    let [model, _] = models();
    let mut from_file = Vec::new();
    let settings = pipeline::Settings {
        hold_rate: true,
        ..settings()
    };
    pipeline::score_capture(&demo(), &settings, &model, &mut |_| (), &mut |scored, _| {
        from_file.push(said(scored));
        Ok(())
    })
    .expect("scored");
    let learning = Learning {
        training: Training {
            model: model::Settings::default(),
            rows: 10,
            trusting: false,
        },
        flows: 10,
        time: None,
        retrain: None,
    };
    let mut live = Witness::default();
    let metrics = Metrics::new();
    let mut capture = Pretended(Replay::open(&demo(), replay::Settings::default()).expect("open"));
    let promised = model.info().settings.contamination;
    let published = Arc::new(Published::new(model));
    Watch::new(&settings, Some(published), &learning, &metrics)
        .run(
            &mut capture,
            &mut |_| unreachable!("it has a model"),
            &mut live,
        )
        .expect("watched");
    assert!(from_file.len() > 1_000, "{}", from_file.len());
    assert!(
        from_file.iter().any(|said| said.2),
        "no anomaly in this capture"
    );
    assert_eq!(live.0, from_file);
    let shown = metrics.value(Id::AnomalyLimit, &[]);
    assert!(
        (OnlineQuantile::RAREST..=promised).contains(&shown),
        "{shown}"
    );
    let [unusual, scored] =
        [Id::UnusualFlowsTotal, Id::FlowsScoredTotal].map(|id| metrics.value(id, &[]));
    assert!(0.0 < unusual && unusual < scored, "{unusual} of {scored}");
}

fn without_training() -> learn::Settings {
    learn::Settings {
        every_ns: 0,
        moved: 1.0,
        ..day::settings()
    }
}

fn sensor(seed: u64, hold_rate: bool) -> Sensor {
    let mut sensor = Sensor::new(without_training(), seed);
    sensor.incidents = Incidents::new(IncidentSettings {
        hold_rate,
        ..IncidentSettings::default()
    });
    sensor
}

fn quantile(sensor: &Sensor) -> OnlineQuantile {
    *sensor.incidents.quantile().expect("flows were seen")
}

#[test]
fn a_scan_does_not_teach_what_an_anomaly_is() {
    let mut sensor = sensor(5, true);
    for hour in 0..3 {
        sensor.hour(hour, Habit::Office, &[]);
    }
    let before = quantile(&sensor);
    let found = sensor.hour(3, Habit::Office, &[(Habit::Probe, 66, 4_000)]);
    let after = quantile(&sensor);
    assert!(found > 0.5, "{found}");
    let [rows, alarms] = [
        after.taught().0 - before.taught().0,
        after.taught().1 - before.taught().1,
    ];
    // Forty hosts talk to one: the scanned. Who scans, and whom, is left out from the first flow on that is named.
    assert!(rows < 650, "{rows} of 4600 taught");
    assert!(alarms < 30, "{alarms}");
    assert!(after.limit() > before.limit() / 100.0);
    let ordinary = sensor.hour(4, Habit::Office, &[(Habit::Office, 67, 300)]);
    assert!(ordinary < 0.05, "{ordinary}");
}

/// One host of forty becomes a hundred times as large for a day. That is news for as long as nobody learned it, and no business of the others.
#[test]
fn what_one_host_does_alone_moves_no_limit() {
    let day = |hold_rate| {
        let mut sensor = sensor(7, hold_rate);
        for hour in 0..2 {
            sensor.hour(hour, Habit::Office, &[]);
        }
        let alone =
            (2..26).map(|hour| sensor.hour(hour, Habit::Office, &[(Habit::Moved, 67, 300)]));
        let found: f64 = alone.sum::<f64>() / 24.0;
        (found, sensor)
    };
    let ((held, sensor), (loose, _)) = (day(true), day(false));
    let quantile = quantile(&sensor);
    assert!(loose > 0.1, "strange enough: {loose}");
    assert!(held > 0.98 * loose, "{held} of {loose}");
    assert!(
        quantile.limit() > 0.99 * quantile.promised(),
        "{quantile:?}"
    );
}

/// Everything becomes a hundred times as large, and stays so; nothing is trained anew.
#[test]
fn a_network_that_moved_is_not_an_anomaly_for_long() {
    let late = |hold_rate| {
        let mut sensor = sensor(6, hold_rate);
        for hour in 0..2 {
            sensor.hour(hour, Habit::Office, &[]);
        }
        let moved = (2..26).map(|hour| sensor.hour(hour, Habit::Moved, &[(Habit::Moved, 67, 300)]));
        moved.skip(12).sum::<f64>() / 12.0
    };
    let [held, loose] = [true, false].map(late);
    assert!((0.002..0.03).contains(&held), "{held}");
    assert!(
        loose > held,
        "a drift worth controlling: {loose}, {held} held"
    );
}
