//! Hosts with an incident under way.

use sensor_ebpf::flow::TimeNs;

use super::hosts::Hosts;
use crate::{flow::FlowRecord, score::Subject};

/// Traffic time after its last flow in which an incident is under way.
const LASTS_NS: TimeNs = 10 * 60 * 1_000_000_000;
/// Hosts remembered, in sets of a few: where more attack at once, those that did longest ago are pardoned. What they then teach has
/// bounds of its own ([`super::debts::Debts`]).
const SETS: usize = 256;

/// Hosts, and until when. Bounded, and made once; a function of what was marked, in its order.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    hosts: Hosts<TimeNs, SETS>,
    /// The latest of them: before anything was marked, and long after, no look-up is needed.
    until: TimeNs,
}

impl UnderWay {
    /// An incident about this host had a flow now.
    pub(super) fn mark(&mut self, subject: Subject, now: TimeNs) {
        let host = subject.key_address();
        let until = now.saturating_add(LASTS_NS);
        self.until = self.until.max(until);
        let ways = self.hosts.around_mut(&host);
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
    pub(super) fn concerns(&self, record: &FlowRecord) -> bool {
        let now = record.due;
        now < self.until
            && record.key.addresses.iter().any(|host| {
                (self.hosts.around(host).iter()).any(|(known, until)| known == host && now < *until)
            })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{super::hosts::WAYS, *};
    use crate::score::Role;

    const MINUTE: TimeNs = 60_000_000_000;

    fn subject(number: u32) -> Subject {
        Subject::host(IpAddr::V4(Ipv4Addr::from(number)), Role::Actor)
    }

    fn is(under_way: &UnderWay, number: u32, now: TimeNs) -> bool {
        let host = subject(number).key_address();
        now < under_way.until
            && (under_way.hosts.around(&host).iter())
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
