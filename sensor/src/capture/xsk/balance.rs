//! Whether what the program handed over is what the sockets received or lost.
//!
//! The program counts a packet in the epoch of its time, and so does the worker that receives it; but a socket only knows how many it
//! lost since it was made, and a worker that is behind tells with an epoch what was lost after it, too. So before the end the sockets' side may
//! be ahead. The program's side may be ahead only for packets that are still on their way: if it stays so, they are in no counter.

/// Epochs after which packets are not on their way any more.
const EPOCHS: usize = 4;

/// Sums of both sides.
#[derive(Debug, Default)]
pub(super) struct Balance {
    /// Handed over less received and lost.
    now: i64,
    /// The same after each of the last epochs that were drained in time.
    latest: [i64; EPOCHS],
    epochs: usize,
    /// What has been told.
    told: i64,
}

impl Balance {
    /// Adds an epoch; gives packets newly known to be in no counter. Where the kernel's ledgers were not read in time, they hold packets of
    /// later epochs, and nothing is known yet.
    pub(super) fn add(&mut self, handed_over: u64, arrived: u64, is_in_time: bool) -> i64 {
        self.now += handed_over as i64 - arrived as i64;
        if !is_in_time {
            self.epochs = 0;
            return 0;
        }
        self.latest[self.epochs % EPOCHS] = self.now;
        self.epochs += 1;
        if self.epochs < EPOCHS {
            return 0;
        }
        let stays = self.latest.iter().copied().min().unwrap_or(0).max(0);
        self.tell(stays.max(self.told))
    }

    /// Once all sockets are empty, both sides are the same; gives what has not been told (negative: packets that are in two counters, or
    /// that were told too early).
    pub(super) fn close(&mut self) -> i64 {
        self.tell(self.now)
    }

    fn tell(&mut self, stays: i64) -> i64 {
        let news = stays - self.told;
        self.told = stays;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_that_stays_away_is_told_once() {
        let mut balance = Balance::default();
        let told: Vec<i64> = (0..8)
            .map(|epoch| balance.add(1000, 1000 - u64::from(epoch == 1), true))
            .collect();
        assert_eq!(told, [0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(balance.add(1000, 990, true), 0);
        assert_eq!(balance.close(), 10);
    }

    #[test]
    fn losses_told_early_and_ledgers_read_late_are_no_defect() {
        let mut balance = Balance::default();
        // A worker that is behind all the time.
        assert_eq!(balance.add(1000, 1300, true), 0);
        for _ in 0..8 {
            assert_eq!(balance.add(1000, 1000, true), 0);
        }
        assert_eq!(balance.add(1000, 700, true), 0);
        // A drain that is late all the time.
        assert_eq!(balance.add(1500, 1000, false), 0);
        for _ in 0..8 {
            assert_eq!(balance.add(1000, 1000, false), 0);
        }
        assert_eq!(balance.add(500, 1000, true), 0);
        assert_eq!(balance.close(), 0);
        // One packet in two counters shows in the end.
        assert_eq!(balance.add(1000, 1001, true), 0);
        assert_eq!(balance.close(), -1);
    }
}
