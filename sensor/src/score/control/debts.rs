//! What each host may teach: a bounded say.
//!
//! An alarm that lowers the limit is a *debt* of the host it came from, and the host's ordinary rows pay it off, each by the share of
//! alarms that was promised. Nobody owes more than [`OnlineQuantile::SAY`] alarms: further ones of his teach nothing. So what any
//! host does, for however long and by however many rows, lowers the limit by no more than that, which is what
//! the limit has in credit when it begins: *what one host does alone is news; what many hosts do is drift*. It is the bound on each
//! one's influence that makes an estimate robust (Huber, Robust Statistics, 1981), and limits what an attacker gains who controls a
//! part of what is learned (Kloft and Laskov, Online anomaly detection under adversarial impact, AISTATS 2010).
//!
//! Who is talked to has no account: most networks are stars, and everybody who drifts does so towards the same few servers.

use model::OnlineQuantile;

use super::{Host, hosts::Hosts};

/// Debtors remembered, in sets of a few: where more owe at once, those who owe least are forgiven. Who has addresses without number gets
/// a say for each of them, and is then bounded in time by [`OnlineQuantile::WINDOW_NS`].
const SETS: usize = 1024;

/// Hosts and the alarms they owe; only those who owe have a place. Bounded, and made once; a function of the rows in their order.
#[derive(Debug, Default)]
pub(super) struct Debts {
    owed: Hosts<f64, SETS>,
    debtors: usize,
}

impl Debts {
    /// Whether a row from this host teaches: an alarm if the host has a say left, anything else always. Keeps the accounts; `promised` is the
    /// share of alarms among rows.
    #[inline]
    pub(super) fn admit(&mut self, host: &Host, alarm: bool, promised: f64) -> bool {
        if !alarm && self.debtors == 0 {
            return true;
        }
        let ways = self.owed.around_mut(host);
        let account = ways
            .iter_mut()
            .find(|(known, owed)| known == host && *owed > 0.0);
        match (account, alarm) {
            (Some((_, owed)), true) if *owed + 1.0 > OnlineQuantile::SAY => return false,
            (Some((_, owed)), true) => *owed += 1.0 - promised,
            (Some((_, owed)), false) => {
                *owed = (*owed - promised).max(0.0);
                self.debtors -= usize::from(*owed == 0.0);
            }
            (None, true) => {
                if let Some(least) = ways.iter_mut().min_by(|a, b| a.1.total_cmp(&b.1)) {
                    self.debtors += usize::from(least.1 == 0.0);
                    // Above 0 whatever is promised: an account is open.
                    *least = (*host, (1.0 - promised).max(promised));
                }
            }
            (None, false) => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{super::hosts::WAYS, *};

    const PROMISED: f64 = 0.01;

    fn host(number: u32) -> Host {
        u128::from(number).to_be_bytes()
    }

    fn taught(debts: &mut Debts, from: u32, alarms: usize) -> usize {
        (0..alarms)
            .filter(|_| debts.admit(&host(from), true, PROMISED))
            .count()
    }

    #[test]
    fn nobody_teaches_more_than_his_say_and_everybody_has_one() {
        let mut debts = Debts::default();
        for from in 0..50 {
            assert_eq!(taught(&mut debts, from, 1000) as f64, OnlineQuantile::SAY);
            assert_eq!(taught(&mut debts, from, 1000), 0);
        }
        // A promise of everything leaves nothing to owe, and an account all the same.
        let mut debts = Debts::default();
        assert!((0..100).all(|_| debts.admit(&host(1), true, 1.0)));
        assert_eq!(debts.debtors, 1);
    }

    #[test]
    fn ordinary_rows_pay_debts_off_at_the_promised_rate() {
        let mut debts = Debts::default();
        let say = taught(&mut debts, 1, 100);
        assert_eq!(taught(&mut debts, 2, 100), say);
        for _ in 0..200 {
            assert!(debts.admit(&host(1), false, PROMISED));
        }
        // The other had no ordinary row.
        assert_eq!(
            (taught(&mut debts, 1, 10), taught(&mut debts, 2, 10)),
            (2, 0)
        );
        for _ in 0..10_000 {
            debts.admit(&host(1), false, PROMISED);
        }
        // What is paid is forgotten, and calm buys no more than that.
        assert_eq!(debts.debtors, 1);
        assert_eq!(taught(&mut debts, 1, 100), say);
    }

    #[test]
    fn the_greatest_debts_stay_however_many_owe() {
        let mut debts = Debts::default();
        taught(&mut debts, 1, 100);
        for number in 0..100_000 {
            taught(&mut debts, 1_000 + number, 1);
        }
        assert_eq!(taught(&mut debts, 1, 1), 0);
        let held = debts.owed.iter().filter(|(_, owed)| *owed > 0.0).count();
        assert_eq!((held, debts.debtors), (SETS * WAYS, SETS * WAYS));
    }
}
