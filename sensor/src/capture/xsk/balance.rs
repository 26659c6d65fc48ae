//! Whether what the program handed over is what the sockets received or lost.
//!
//! The program counts a packet in the epoch of its time, and so does the worker that receives it; but a socket only knows how many it
//! lost since it was made. So the two sides of one epoch differ by what was lost about its end, now in one direction, then in the
//! other. A difference that stays is a defect.

/// Epochs after which a difference has stayed.
const EPOCHS: usize = 4;

/// Sums of both sides.
#[derive(Debug, Default)]
pub(super) struct Balance {
    /// Handed over and neither received nor lost, after each of the last epochs.
    open: [i64; EPOCHS],
    epochs: usize,
    /// What has been told.
    told: i64,
}

impl Balance {
    /// Adds an epoch; gives packets newly known to be in no counter (negative: in two).
    pub(super) fn add(&mut self, handed_over: u64, arrived: u64) -> i64 {
        let last = self.open[(self.epochs + EPOCHS - 1) % EPOCHS];
        self.open[self.epochs % EPOCHS] = last + handed_over as i64 - arrived as i64;
        self.epochs += 1;
        if self.epochs < EPOCHS {
            return 0;
        }
        let least = self.open.iter().copied().min().unwrap_or(0);
        let most = self.open.iter().copied().max().unwrap_or(0);
        let stays = if least > 0 { least } else { most.min(0) };
        self.tell(stays)
    }

    /// What is left once all sockets are empty; gives what has not been told.
    pub(super) fn close(&mut self) -> i64 {
        let last = self.open[(self.epochs + EPOCHS - 1) % EPOCHS];
        self.tell(last)
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
    fn losses_about_the_end_of_an_epoch_are_no_defect_and_a_packet_that_stays_away_is_told_once() {
        let mut balance = Balance::default();
        // A hundred are lost at the end of the second epoch and told with the first, as losses are.
        for (handed_over, arrived) in [(1000, 1100), (1100, 1000), (1000, 1000), (1000, 1000)] {
            assert_eq!(balance.add(handed_over, arrived), 0);
        }
        assert_eq!(balance.close(), 0);
        let told: Vec<i64> = (0..8)
            .map(|epoch| balance.add(1000, 1000 - u64::from(epoch == 1)))
            .collect();
        assert_eq!(told, [0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(balance.add(1000, 1001), -1);
        assert_eq!(balance.add(1000, 990), 0);
        assert_eq!(balance.close(), 10);
    }
}
