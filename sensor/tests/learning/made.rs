//! Flows with verdicts, made up: what the traffic was is decided here, so that what was told of it can be judged.

use model::{Model, Rows, Settings};
use sensor::{
    features::{self, COUNT, Row},
    flow::{FlowEndReason, FlowRecord},
    score::{Scored, Severity},
};
use sensor_ebpf::flow::{FlowCounters, FlowKey, Half};

/// One second of traffic.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// One day.
pub(crate) const DAY: u64 = 86_400 * SECOND;
/// A moment to begin at.
pub(crate) const START: u64 = 1_700_000_000 * SECOND;

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Above 0, at most 1.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

fn address(host: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[10..12].fill(0xff);
    bytes[12..].copy_from_slice(&(0x0a00_0000 | host).to_be_bytes());
    bytes
}

/// A flow that ended: one second long, from host 10.x to 10.x, port 443.
pub(crate) fn record(id: u64, source: u32, destination: u32, at: u64) -> FlowRecord {
    let half = Half {
        packets: 4,
        first: at,
        last: at + SECOND,
        ip_bytes: 2000,
        payload_bytes: 1800,
        ..Half::EMPTY
    };
    FlowRecord {
        id,
        key: FlowKey {
            addresses: [address(source), address(destination)],
            ports: [40_000, 443],
            protocol: 6,
            form: 0,
            series: 0,
        },
        originator: 0,
        counters: FlowCounters {
            halves: [half, half],
            ..FlowCounters::EMPTY
        },
        end: Some(FlowEndReason::EndOfFlow),
        checkpoint: 0,
        due: at + 2 * SECOND,
    }
}

/// A model to explain with; what it says does not matter here.
pub(crate) fn model() -> Model {
    let schema = features::schema();
    let mut rows = Rows::with_columns(schema.len());
    let mut dice = Dice(1);
    for _ in 0..300 {
        let row: Vec<f32> = (0..schema.len()).map(|_| dice.unit() as f32).collect();
        rows.push(&row);
    }
    let settings = Settings {
        trees: 4,
        ..Settings::default()
    };
    Model::train(&rows, &schema, &settings).expect("a model")
}

/// An anomalous flow, this rare, with nothing in its row that a rule would name.
pub(crate) fn unusual(id: u64, source: u32, at: u64, p_value: f64) -> Scored {
    let row: Row = [f32::NAN; COUNT];
    Scored {
        record: record(id, source, 1, at),
        row,
        score: 0.5 + (-p_value.log10()).min(40.0) as f32 / 100.0,
        p_value,
        severity: Severity::of(p_value, true),
        unusual: true,
        limit: 0.01,
        anomalous: true,
        kind: None,
        reasons: Vec::new(),
    }
}
