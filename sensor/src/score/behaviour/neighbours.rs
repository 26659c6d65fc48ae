//! Who looks for many hosts of his own link by ARP.
//!
//! There is no baseline to go by: an ordinary host asks for the few that it talks to, and a segment has too little ARP to learn
//! quantiles of it. So the null model is written down here, and generous: a host that looks for nobody in particular asks in
//! vain for a new address every [`IN_VAIN_EVERY`] seconds, at random. A router does so for hosts that were switched off.
//!
//! A sensor that sees one port of a switch hears everybody's requests, and answers only to its own: a host that asks for many that
//! are there looks as if it had asked in vain.

use super::{
    Evidence, Kind, SUSPECT,
    at::{Measure, at},
    detect::BY_SHAPE,
    null::poisson,
};
use crate::{features::Row, flow::FlowRecord};

/// Distinct hosts asked for, share of the requests without an answer, and seconds, of two windows.
const WINDOWS: [(usize, usize, f64); 2] = [
    (at("src_peers_60s"), at("src_failed_share_60s"), 60.0),
    (at("src_peers_600s"), at("src_failed_share_600s"), 600.0),
];
/// Seconds from one new host that is asked for in vain to the next, on average, in the null model.
const IN_VAIN_EVERY: f64 = 15.0;

/// Many distinct hosts that were asked for, most of them in vain.
pub(super) fn sweep(record: &FlowRecord, row: &Row) -> Option<Evidence> {
    // Who answers is not the one who looks.
    if record.orig().packets == 0 {
        return None;
    }
    let mut best: Option<Evidence> = None;
    for (peers, failed, seconds) in WINDOWS {
        let [asked, failed] = [row[peers], row[failed]].map(f64::from);
        let in_vain = asked * failed;
        // The two windows are two tests.
        let p = 2.0 * poisson(in_vain, seconds / IN_VAIN_EVERY).max(BY_SHAPE);
        // Not known, or answered as often as not: a host that is asked to find the others, and finds them.
        if failed.is_nan() || failed < 0.5 || p > SUSPECT {
            continue;
        }
        if best.is_none_or(|best| p < best.p_value) {
            best = Some(Evidence::of(Kind::HostSweep, p).with(Measure {
                feature: peers,
                value: row[peers],
                usual: f32::NAN,
            }));
        }
    }
    best
}
