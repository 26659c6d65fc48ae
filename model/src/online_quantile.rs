//! The p-value up to which a row is called an anomaly, under online control: the share of false alarms that calibration
//! promises is kept while the traffic drifts away from the baseline.
//!
//! [`OnlineQuantile`] is the tracker of adaptive conformal inference (Gibbs and Candes, NeurIPS 2021), run on the logarithm of
//! calibrated p-values, so that beyond the calibration rows it moves along their extreme-value tail: at each alarm the limit
//! falls by a step, and for each alarm that was promised it rises by a step. The limit is the running difference of the two, so that
//! without bounds the alarms of any sequence whatever differ from those promised by at most `range / step`.
//!
//! What follows everything follows an attacker too ("boiling frog": Rubinstein et al., ANTIDOTE, IMC 2009). Five guards:
//!
//! * **Never below calibration.** The limit is at most the promised share, where it also begins: nobody can have it call anomalous
//!   what calibration does not. What calm traffic leaves of the promise is kept as a credit of a few alarms, so that on
//!   traffic like the baseline chance alone hardly ever moves the limit.
//! * **One host, one say.** It begins with the credit of what one source of rows may teach ([`OnlineQuantile::SAY`]): who keeps
//!   accounts of his sources and asks before a row teaches bounds what each can move, and alone none moves anything.
//! * **So far in so much traffic time.** In a window ([`OnlineQuantile::WINDOW_NS`]) the limit falls to a tenth of where it stood at
//!   the window's begin, and no further, however many rows come: a flood pays in hours, not in flows.
//! * **Never beyond all bounds.** What is rarer than [`OnlineQuantile::RAREST`] is always an anomaly.
//! * **Rows that do not teach.** Those of hosts with an incident under way are judged, and move nothing.
//!
//! The state is one product of constants: no logarithm while judging, no allocation, no lock, no clock (time is that of the rows), and
//! the same bits for the same rows on every machine.

use crate::maths::exp2;

/// Binary logarithm of ten.
const LOG2_10: f64 = std::f64::consts::LOG2_10;
/// Decades that the limit falls at an alarm, and rises while one is promised. A quarter keeps the noise of the limit itself (about
/// the root of half of `step / ln 10`, a quarter of a decade) below what it corrects.
const STEP: f64 = 0.25;
/// Decades that the limit may fall in one window.
const FALL: f64 = 1.0;
/// Decades of credit: thirty-two alarms that a calm stretch may leave to the next. Alarms come in bursts; without credit each burst
/// lowers the limit and no calm makes up for it, because the limit never rises above the promise. (With eight alarms a
/// benign capture of home devices was called anomalous half as often as promised, with these 0.8 times.)
const CREDIT: f64 = 8.0;

fn decades(exponent: f64) -> f64 {
    exp2(exponent * LOG2_10)
}

/// Decades of credit at the beginning: what one source may use up.
const BEGINNING: f64 = STEP * OnlineQuantile::SAY;

/// A limit of p-values under online control.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnlineQuantile {
    promised: f64,
    /// Moves by steps; above the promised share it is credit, and the limit is that share.
    state: f64,
    /// Most of it.
    most: f64,
    /// Lowest limit of this window.
    least: f64,
    /// Which window of traffic time it is.
    window: u64,
    /// What a row that teaches raises the limit by.
    up: f64,
    /// What an alarm that teaches lowers it by.
    down: f64,
    rows: u64,
    alarms: u64,
}

impl OnlineQuantile {
    /// Length of a window, nanoseconds of traffic time: an hour.
    pub const WINDOW_NS: u64 = 3_600_000_000_000;
    /// p-value up to which a row is an anomaly whatever came before, if that much was promised: detectors call nothing
    /// rarer, because beyond it the tail itself is what would be wrong.
    pub const RAREST: f64 = 1e-9;

    /// Alarms beyond its promised ones that a single source of rows may teach, where sources are known: two decades of the limit.
    /// Fewer, and sources that drift together must be more to be followed (ten are hardly enough, with eight); more, and each has more power over the others.
    pub const SAY: f64 = 8.0;

    /// Begins at this share of false alarms, above 0 and at most 1.
    ///
    /// # Panics
    /// If the share is outside of that.
    pub fn new(promised: f64) -> Self {
        assert!(promised > 0.0 && promised <= 1.0);
        Self {
            promised,
            state: promised * decades(BEGINNING),
            most: promised * decades(CREDIT),
            least: Self::least(promised, promised),
            window: 0,
            up: decades(STEP * promised),
            down: decades(-STEP),
            rows: 0,
            alarms: 0,
        }
    }

    fn least(opened: f64, promised: f64) -> f64 {
        (opened * decades(-FALL)).max(Self::RAREST.min(promised))
    }

    /// Whether a row of this p-value, at this nanosecond of traffic time, is an anomaly. One that `teaches`, which may depend on
    /// whether it is one, moves the limit for those after it. Time that runs backwards counts as the latest that was told.
    #[inline]
    pub fn judge(&mut self, p_value: f64, now_ns: u64, teaches: impl FnOnce(bool) -> bool) -> bool {
        let window = now_ns / Self::WINDOW_NS;
        if window > self.window {
            self.window = window;
            self.least = Self::least(self.limit(), self.promised);
        }
        let alarm = p_value <= self.limit();
        if teaches(alarm) {
            self.rows += 1;
            if alarm {
                self.alarms += 1;
                self.state = (self.state * self.down).max(self.least);
            }
            self.state = (self.state * self.up).min(self.most);
        }
        alarm
    }

    /// p-value up to which the next row is an anomaly: at most the promised share.
    pub const fn limit(&self) -> f64 {
        self.state.min(self.promised)
    }

    /// Share of false alarms that was promised.
    pub const fn promised(&self) -> f64 {
        self.promised
    }

    /// Rows that taught, and alarms among them.
    pub const fn taught(&self) -> (u64, u64) {
        (self.rows, self.alarms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maths::exp;
    use crate::rng::{Purpose, Rng};

    const HOUR: u64 = OnlineQuantile::WINDOW_NS;

    fn uniform(rng: &mut Rng) -> f64 {
        1.0 - rng.unit()
    }

    /// Drift in decades over the whole stream: ramps, jumps, waves and walks of random size, never below calm.
    fn shape(rng: &mut Rng, rows: usize) -> Vec<f64> {
        let kind = rng.below(4);
        let height = 0.5 + 2.0 * rng.unit();
        let waves = 1.0 + rng.below(4) as f64;
        let mut walk = 0.0;
        let jumps: Vec<(usize, f64)> = (0..4)
            .map(|_| (rng.below(rows as u64) as usize, height * rng.unit()))
            .collect();
        (0..rows)
            .map(|row| {
                let at = row as f64 / rows as f64;
                match kind {
                    0 => height * at,
                    1 => height * (1.0 - (2.0 * (waves * at).fract() - 1.0).abs()),
                    2 => jumps
                        .iter()
                        .filter(|jump| jump.0 <= row)
                        .fold(0.0, |_, jump| jump.1),
                    _ => {
                        walk = f64::clamp(walk + (rng.unit() - 0.5) * 0.01 * height, 0.0, height);
                        walk
                    }
                }
            })
            .collect()
    }

    #[test]
    fn the_promise_is_kept_on_streams_that_drift_by_any_shape() {
        let mut worth = 0.0;
        for seed in 0..24 {
            let mut rng = Rng::new(seed, Purpose::Holdout);
            let promised = if seed % 2 == 0 { 1e-2 } else { 1e-3 };
            let rows = (300.0 / promised) as usize;
            // A fortnight, unevenly: rows come in bursts, as traffic does.
            let mut now = 0;
            let mut quantile = OnlineQuantile::new(promised);
            let (mut alarms, mut loose) = (0.0, 0.0);
            for drift in shape(&mut rng, rows) {
                now += (HOUR as f64 * 672.0 / rows as f64 * rng.unit()) as u64;
                let p_value = uniform(&mut rng) * decades(-drift);
                alarms += f64::from(u8::from(quantile.judge(p_value, now, |_| true)));
                loose += f64::from(u8::from(p_value <= promised));
            }
            let realised = alarms / (promised * rows as f64);
            worth += loose / (promised * rows as f64);
            assert!(
                (0.5..2.0).contains(&realised),
                "seed {seed}: {realised} of {promised}"
            );
        }
        assert!(
            worth / 24.0 > 5.0,
            "drift worth controlling: {}",
            worth / 24.0
        );
    }

    /// Alarms exceed the promise by no more than the way the limit went, wherever no window held it back: whatever the sequence.
    #[test]
    fn alarms_beyond_the_promise_are_the_way_that_the_limit_went() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed, Purpose::Holdout);
            let mut quantile = OnlineQuantile::new(1e-2);
            let mut now = 0;
            for _ in 0..20_000 {
                // An adversary with time: after each alarm a window opens.
                let strange = rng.below(200) == 0;
                let p_value = if strange { 1e-12 } else { uniform(&mut rng) };
                if quantile.judge(p_value, now, |_| true) {
                    now += HOUR;
                }
                let (rows, alarms) = quantile.taught();
                let way = (quantile.promised() / quantile.limit()).log10();
                let beyond = alarms as f64 - 1e-2 * rows as f64;
                let most = way / STEP + OnlineQuantile::SAY + 1e-6;
                assert!(
                    beyond <= most,
                    "seed {seed}: {beyond} beyond, {most} allowed"
                );
            }
        }
    }

    #[test]
    fn a_flood_lowers_the_limit_by_no_more_than_its_hours_allow_and_it_comes_back() {
        for (seed, hours) in [(1, 1), (2, 2), (3, 5), (4, 40)] {
            let mut rng = Rng::new(seed, Purpose::Holdout);
            let promised = 1e-2;
            let mut quantile = OnlineQuantile::new(promised);
            let mut now = 7 * HOUR + HOUR / 3;
            // Ordinary traffic before.
            for _ in 0..5_000 {
                quantile.judge(uniform(&mut rng), now, |_| true);
                now += HOUR / 20_000;
            }
            let before = quantile.limit();
            let begin = now;
            // As many rows as there are, all of them as strange as can be.
            let flood = 60_000 * hours;
            for row in 0..flood {
                assert!(
                    quantile.judge(1e-300, now, |_| true),
                    "what is rarest is always an anomaly"
                );
                now = begin + HOUR * hours / flood * row;
                let windows = now / HOUR - begin / HOUR + 1;
                let lowest = (before * decades(-FALL * windows as f64)).max(OnlineQuantile::RAREST);
                assert!(
                    quantile.limit() >= lowest * (1.0 - 1e-9),
                    "{} after {windows} windows",
                    quantile.limit()
                );
                assert!(quantile.limit() >= OnlineQuantile::RAREST);
            }
            let dragged = (before / quantile.limit()).log10();
            assert!(dragged > 0.9, "the flood must do something: {dragged}");
            // Back after the rows in which the decades' steps are promised, each, and as many again for the alarms among them.
            let quiet = (2.0 * dragged / STEP / promised) as usize + 500;
            let mut back = false;
            for _ in 0..quiet {
                now += HOUR / 20_000;
                quantile.judge(uniform(&mut rng), now, |_| true);
                back |= quantile.limit() >= before * decades(-STEP);
            }
            assert!(back, "{hours} h: {} after {quiet} rows", quantile.limit());
        }
    }

    #[test]
    fn on_traffic_like_the_baseline_it_hardly_moves() {
        let mut sum = 0.0;
        for seed in 0..8 {
            let mut rng = Rng::new(seed, Purpose::Holdout);
            let mut quantile = OnlineQuantile::new(1e-2);
            let rows = 100_000_u64;
            let alarms = (0..rows)
                .filter(|row| quantile.judge(uniform(&mut rng), row * HOUR / 1_000, |_| true))
                .count();
            sum += alarms as f64 / (1e-2 * rows as f64);
        }
        assert!((0.9..1.02).contains(&(sum / 8.0)), "{}", sum / 8.0);
    }

    #[test]
    fn it_is_never_more_sensitive_than_calibration() {
        for seed in 0..10 {
            let mut rng = Rng::new(seed, Purpose::Holdout);
            let mut quantile = OnlineQuantile::new(1e-2);
            for row in 0..100_000 {
                // Calm: nothing unusual for long, then something that calibration finds ordinary.
                let p_value = (uniform(&mut rng) * 10.0).clamp(0.0101, 1.0);
                assert!(!quantile.judge(p_value, row * HOUR / 100, |_| true));
                assert_eq!(quantile.limit(), 1e-2);
            }
        }
    }

    #[test]
    fn what_does_not_teach_moves_nothing() {
        let mut quantile = OnlineQuantile::new(1e-3);
        for row in 0..10_000 {
            assert!(quantile.judge(1e-6, row * HOUR, |_| false));
        }
        assert_eq!((quantile.limit(), quantile.taught()), (1e-3, (0, 0)));
        // As many alarms as one source may teach use its credit up, and the next one counts.
        let mut alarms = 0.0;
        while quantile.limit() > 0.9e-3 {
            quantile.judge(1e-6, 0, |alarm| alarm);
            alarms += 1.0;
        }
        assert_eq!(alarms, OnlineQuantile::SAY + 1.0);
    }

    #[test]
    fn time_that_jumps_does_not_add_windows_up() {
        let mut quantile = OnlineQuantile::new(1e-2);
        // A year of silence opens one window, and going back opens none.
        for now in [8_760 * HOUR, 3 * HOUR, 8_760 * HOUR + 1] {
            for _ in 0..1_000 {
                quantile.judge(0.0, now, |_| true);
            }
            assert!(
                (quantile.limit() / 1e-3 - 1.0).abs() < 0.01,
                "{}",
                quantile.limit()
            );
        }
    }

    #[test]
    fn small_promises_keep_their_own_bound() {
        let mut quantile = OnlineQuantile::new(1e-12);
        for hour in 0..100 {
            quantile.judge(exp(-100.0), hour * HOUR, |_| true);
            assert_eq!(quantile.limit(), 1e-12);
        }
    }
}
