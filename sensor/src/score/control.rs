//! What is called an anomaly: as rare as calibration asks for, and as rare as it takes to keep the share that was promised while the
//! traffic drifts ([`OnlineQuantile`]). A function of the scored flows in their order.

use model::{Model, OnlineQuantile};
use sensor_ebpf::flow::TimeNs;

use super::{Scored, Severity, Subject};
use crate::{bounded::fixed_hash, flow::FlowRecord};

/// Judges flow by flow. A new model begins at its own calibration.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// With the serial of the model whose p-values it goes by.
    quantile: Option<(u64, OnlineQuantile)>,
    under_way: UnderWay,
}

impl Control {
    /// Says of a flow whether it is an anomaly, and how grave. Flows of hosts with an incident under way are judged, and move
    /// nothing: what somebody does to the network must not teach the sensor what is usual in it.
    pub(super) fn judge(&mut self, scored: &mut Scored, model: &Model) {
        if scored.record.key.is_arp() {
            return;
        }
        let serial = model.serial();
        if self.quantile.is_none_or(|(of, _)| of != serial) {
            let promised = model.info().settings.contamination;
            self.quantile = Some((serial, OnlineQuantile::new(promised)));
        }
        let teaches = !self.under_way.concerns(&scored.record);
        if let Some((_, quantile)) = &mut self.quantile {
            scored.limit = quantile.limit();
            let is_rare = quantile.judge(scored.p_value, scored.record.due, teaches);
            scored.anomalous = scored.unusual && is_rare;
            scored.severity = Severity::of(scored.p_value, scored.anomalous);
        }
    }

    /// A flow of an incident about this host was due now.
    pub(super) fn mark(&mut self, subject: Subject, now: TimeNs) {
        self.under_way.mark(subject, now);
    }

    /// The limit; nothing before the first flow.
    pub(super) fn quantile(&self) -> Option<&OnlineQuantile> {
        self.quantile.as_ref().map(|(_, quantile)| quantile)
    }
}

/// Traffic time after its last flow in which an incident is under way.
const LASTS_NS: TimeNs = 10 * 60 * 1_000_000_000;
/// Hosts remembered, in sets of a few: where more attack at once, those that did longest ago are pardoned. What they then teach has
/// a bound of its own ([`model::OnlineQuantile`]).
const SETS: usize = 256;
const WAYS: usize = 4;

type Host = [u8; 16];

/// Hosts, and until when. Bounded, and made once; a function of what was marked, in its order.
#[derive(Debug)]
struct UnderWay {
    sets: Box<[[(Host, TimeNs); WAYS]]>,
    /// The latest of them: before anything was marked, and long after, no look-up is needed.
    until: TimeNs,
}

impl Default for UnderWay {
    fn default() -> Self {
        Self {
            sets: vec![[([0; 16], 0); WAYS]; SETS].into_boxed_slice(),
            until: 0,
        }
    }
}

fn set(host: &Host) -> usize {
    let bits = u128::from_be_bytes(*host);
    (fixed_hash(&[(bits >> 64) as u64, bits as u64]) as usize) % SETS
}

impl UnderWay {
    /// An incident about this host had a flow now.
    fn mark(&mut self, subject: Subject, now: TimeNs) {
        let host = subject.key_address();
        let until = now.saturating_add(LASTS_NS);
        self.until = self.until.max(until);
        let ways = &mut self.sets[set(&host)];
        match ways.iter_mut().find(|(known, _)| *known == host) {
            // Flows become due out of order.
            Some((_, known)) => *known = until.max(*known),
            None => {
                if let Some(oldest) = ways.iter_mut().min_by_key(|(_, until)| *until) {
                    *oldest = (host, until);
                }
            }
        }
    }

    /// Whether a host of this flow has an incident under way when it is due.
    fn concerns(&self, record: &FlowRecord) -> bool {
        let now = record.due;
        now < self.until
            && record.key.addresses.iter().any(|host| {
                let ways = &self.sets[set(host)];
                ways.iter()
                    .any(|(known, until)| known == host && now < *until)
            })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::score::Role;

    const MINUTE: TimeNs = 60_000_000_000;

    fn subject(number: u32) -> Subject {
        Subject::host(IpAddr::V4(Ipv4Addr::from(number)), Role::Actor)
    }

    fn is(under_way: &UnderWay, number: u32, now: TimeNs) -> bool {
        let host = subject(number).key_address();
        let ways = &under_way.sets[set(&host)];
        now < under_way.until
            && ways
                .iter()
                .any(|(known, until)| *known == host && now < *until)
    }

    #[test]
    fn an_incident_is_under_way_until_ten_minutes_after_its_last_flow() {
        let mut under_way = UnderWay::default();
        assert!(!is(&under_way, 7, 0));
        under_way.mark(subject(7), MINUTE);
        under_way.mark(subject(7), 5 * MINUTE);
        // Flows become due out of order: an earlier one takes nothing back.
        under_way.mark(subject(7), 2 * MINUTE);
        assert!(is(&under_way, 7, 14 * MINUTE) && !is(&under_way, 7, 15 * MINUTE));
        assert!(!is(&under_way, 8, 14 * MINUTE));
    }

    #[test]
    fn the_latest_stay_however_many_attack() {
        let mut under_way = UnderWay::default();
        for number in 0..1_000_000 {
            under_way.mark(subject(number), MINUTE + TimeNs::from(number));
        }
        let kept = (0..1_000_000).filter(|number| is(&under_way, *number, 2 * MINUTE));
        assert_eq!(kept.count(), SETS * WAYS);
        assert!(is(&under_way, 999_999, 2 * MINUTE));
    }
}
