//! Somebody who tries to make his doings usual.

use super::day::{Habit, day};

/// Which candidate is promoted hangs on a few rows, so one day says little: ten, each beside the same day without the attempt.
#[test]
fn three_thousand_tunnels_do_not_make_tunnels_usual() {
    let mean = |poison: bool| {
        let found = |seed| day(seed, poison).0.would_find(Habit::Tunnel);
        (1..=10).map(found).sum::<f64>() / 10.0
    };
    let (poisoned, clean) = (mean(true), mean(false));
    assert!(
        clean > 0.9 && poisoned > 0.9,
        "the poison worked: {poisoned}, {clean} without"
    );
}
