//! How complete the window behind an incident was: the ledgers of the last half hour, epoch by epoch.

use std::collections::VecDeque;

use sensor_ebpf::{
    flow::{EPOCH_SHIFT, TimeNs},
    maps::Ledger,
};

/// Epochs remembered: 37 minutes, longer than an incident can be quiet.
const EPOCHS: usize = 4096;

/// What was seen and what was lost in an epoch.
#[derive(Clone, Copy, Debug)]
struct Account {
    epoch: u64,
    seen: u64,
    lost: u64,
}

/// Remembers the ledgers of the last epochs.
#[derive(Debug, Default)]
pub struct Coverage {
    accounts: VecDeque<Account>,
}

impl Coverage {
    /// Takes the ledger of an epoch in. Epochs come in order; parts of one may come apart.
    pub fn add(&mut self, epoch: u64, ledger: &Ledger) {
        // What the kernel handed to a socket that lost it was taken out of `handed_over` otherwise.
        let lost = ledger.overflow() + ledger.sampled_out + ledger.handed_over;
        match self.accounts.back_mut() {
            Some(last) if last.epoch == epoch => {
                last.seen += ledger.seen;
                last.lost += lost;
            }
            _ => self.accounts.push_back(Account {
                epoch,
                seen: ledger.seen,
                lost,
            }),
        }
        if self.accounts.len() > EPOCHS {
            self.accounts.pop_front();
        }
    }

    /// Share of the packets since this time that were not lost, 0 to 1; 1 where there were none.
    pub fn since(&self, time: TimeNs) -> f64 {
        let from = time >> EPOCH_SHIFT;
        let window = self.accounts.iter().rev();
        let (seen, lost) = window
            .take_while(|account| account.epoch >= from)
            .fold((0, 0), |(seen, lost), account| {
                (seen + account.seen, lost + account.lost)
            });
        if seen == 0 {
            return 1.0;
        }
        1.0 - lost as f64 / seen as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_counts_in_the_windows_that_hold_it() {
        let mut coverage = Coverage::default();
        assert_eq!(coverage.since(0), 1.0);
        for epoch in 0..10 {
            let ledger = Ledger {
                seen: 100,
                counted: if epoch == 3 { 50 } else { 100 },
                overflow_full: if epoch == 3 { 50 } else { 0 },
                ..Ledger::default()
            };
            coverage.add(epoch, &ledger);
        }
        assert_eq!(coverage.since(0), 0.95);
        assert_eq!(coverage.since(3 << EPOCH_SHIFT), 1.0 - 50.0 / 700.0);
        assert_eq!(coverage.since(4 << EPOCH_SHIFT), 1.0);
    }

    #[test]
    fn bounded() {
        let mut coverage = Coverage::default();
        for epoch in 0..2 * EPOCHS as u64 {
            coverage.add(epoch, &Ledger::default());
        }
        assert_eq!(coverage.accounts.len(), EPOCHS);
    }
}
