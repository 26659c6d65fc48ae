//! Online control of alarms: a threshold that follows the traffic, and an allowance that cannot be overdrawn.
//!
//! Calibration promises a rate on traffic like the baseline; networks drift, and then only feedback keeps the promise.
//! [`Control`] is the online quantile tracker of adaptive conformal inference (Gibbs and Candes, NeurIPS 2021; the
//! pinball-loss gradient step is also what DSPOT's moving quantile amounts to: Siffer et al., KDD 2017): the threshold
//! goes up by a step at each alarm and down by a step for each alarm that was expected. Without bounds `n` expected
//! alarms differ from those raised by at most `range / step`, whatever the sequence, because the threshold is the
//! running difference.
//!
//! A tracker that follows everything follows an attacker too. So: a window raises the threshold only so far; the whole
//! way is bounded above and below; and it can be frozen while something is going on that should not teach it.
//! What the guarded tracker then lets through is for the [`Allowance`], a token bucket, to bound.
//!
//! No clock: time is told as *expected alarms*, a rate times whatever it is a rate of: rows, or traffic time.

/// How a [`Control`] moves. Thresholds are in the caller's unit of surprise, for example minus the decimal logarithm
/// of a p-value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ControlSettings {
    /// How far the threshold rises at an alarm, and falls for each alarm that was expected. Above 0.
    pub step: f64,
    /// Most steps up in one window, that is while one alarm is expected. At least 1.
    pub steps_per_window: f64,
    /// Lowest threshold.
    pub floor: f64,
    /// Highest threshold.
    pub ceiling: f64,
}

/// A threshold under online control.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Control {
    settings: ControlSettings,
    threshold: f64,
    /// Expected alarms of the window so far, below 1.
    window: f64,
    /// How far the threshold rose in this window.
    risen: f64,
    frozen: bool,
    alarms: u64,
    expected: f64,
}

impl Control {
    /// Begins at this threshold, moved into the bounds.
    ///
    /// # Panics
    /// If the step is not above 0, a window allows less than a step, or the floor lies above the ceiling.
    pub fn new(start: f64, settings: ControlSettings) -> Self {
        let ControlSettings {
            step,
            steps_per_window,
            floor,
            ceiling,
        } = settings;
        assert!(step > 0.0 && steps_per_window >= 1.0 && floor <= ceiling);
        Self {
            settings,
            threshold: start.clamp(floor, ceiling),
            window: 0.0,
            risen: 0.0,
            frozen: false,
            alarms: 0,
            expected: 0.0,
        }
    }

    /// Lets so much pass as this many alarms are expected in (0 or more): the threshold falls.
    pub fn pass(&mut self, expected: f64) {
        self.expected += expected;
        self.window += expected;
        if self.window >= 1.0 {
            self.window = self.window.fract();
            self.risen = 0.0;
        }
        if !self.frozen {
            self.threshold =
                (self.threshold - self.settings.step * expected).max(self.settings.floor);
        }
    }

    /// Whether this is an alarm; if so the threshold rises.
    pub fn alarm(&mut self, surprise: f64) -> bool {
        let alarm = surprise > self.threshold;
        if alarm {
            self.raise();
        }
        alarm
    }

    /// Whether it would be one: nothing moves.
    pub fn is_alarm(&self, surprise: f64) -> bool {
        surprise > self.threshold
    }

    /// Counts an alarm that was raised by [`Control::is_alarm`].
    pub fn raise(&mut self) {
        self.alarms += 1;
        if self.frozen {
            return;
        }
        let room = self.settings.step * self.settings.steps_per_window - self.risen;
        let rise = self
            .settings
            .step
            .min(room.max(0.0))
            .min(self.settings.ceiling - self.threshold);
        self.risen += rise;
        self.threshold += rise;
    }

    /// While frozen the threshold stays, whatever comes.
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Whether it is frozen.
    pub const fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Surprise above which there is an alarm.
    pub const fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Alarms so far.
    pub const fn alarms(&self) -> u64 {
        self.alarms
    }

    /// Alarms that were expected so far.
    pub const fn expected(&self) -> f64 {
        self.expected
    }
}

/// A token bucket: alarms that may be raised now, refilled at the rate at which they are expected.
///
/// In any stretch in which `n` are expected at most `n + capacity` are granted. The last `reserve` of them go only to
/// urgent ones, so that small ones cannot use up what a great one needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    capacity: f64,
    reserve: f64,
    left: f64,
}

impl Allowance {
    /// Begins full. The capacity is at least 1, so that the first may always be told.
    ///
    /// # Panics
    /// If the reserve is negative.
    pub fn new(capacity: f64, reserve: f64) -> Self {
        assert!(reserve >= 0.0);
        let capacity = capacity.max(1.0);
        Self {
            capacity,
            // One that is not urgent must be possible when all is there.
            reserve: reserve.min(capacity - 1.0),
            left: capacity,
        }
    }

    /// Lets so much pass as this many are expected in (0 or more).
    pub fn pass(&mut self, expected: f64) {
        self.left = (self.left + expected).min(self.capacity);
    }

    /// Takes one, if there is one.
    pub fn take(&mut self, urgent: bool) -> bool {
        let kept = if urgent { 0.0 } else { self.reserve };
        // Refills are sums of many small numbers: a billionth short is not short.
        let granted = self.left - kept >= 1.0 - 1e-9;
        if granted {
            self.left -= 1.0;
        }
        granted
    }

    /// What is left.
    pub const fn left(&self) -> f64 {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maths::ln;
    use crate::rng::{Purpose, Rng};

    const SETTINGS: ControlSettings = ControlSettings {
        step: 0.25,
        steps_per_window: 4.0,
        floor: 0.5,
        ceiling: 8.0,
    };

    /// `-log10` of a uniform number: the surprise of a calibrated row.
    fn surprise(rng: &mut Rng) -> f64 {
        -ln(1.0 - rng.unit()) / std::f64::consts::LN_10
    }

    #[test]
    fn the_rate_is_held_while_the_traffic_drifts() {
        for (seed, rate) in [(1, 1e-2), (2, 1e-2), (3, 1e-3), (4, 1e-3)] {
            let mut rng = Rng::new(seed, Purpose::Holdout);
            let mut control = Control::new(-f64::log10(rate), SETTINGS);
            let rows = (2000.0 / rate) as u64;
            let mut uncontrolled = 0u64;
            for row in 0..rows {
                // Drifts by a decade and a half and back: up to 30 times too many alarms without control.
                let drift = 1.5 * (1.0 - (2.0 * row as f64 / rows as f64 - 1.0).abs());
                let seen = surprise(&mut rng) + drift;
                uncontrolled += u64::from(seen > -f64::log10(rate));
                control.alarm(seen);
                control.pass(rate);
            }
            let held = control.alarms() as f64 / control.expected();
            let loose = uncontrolled as f64 / control.expected();
            assert!((0.9..1.1).contains(&held), "seed {seed}: {held} at {rate}");
            assert!(loose > 4.0, "the drift must be worth controlling: {loose}");
        }
    }

    /// Whatever comes: a window lifts the threshold by at most its cap, it stays in bounds, and it never leaves the
    /// bound of the running difference.
    #[test]
    fn no_sequence_drags_it_further_than_the_cap() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed, Purpose::Holdout);
            let mut control = Control::new(2.0, SETTINGS);
            let mut opened = control.threshold();
            let mut window = 0.0;
            for _ in 0..20_000 {
                // An adversary that mixes silence, single alarms and bursts beyond any threshold.
                let burst = match rng.below(4) {
                    0 => 0,
                    1 => 1,
                    2 => 5,
                    _ => 40,
                };
                for _ in 0..burst {
                    control.alarm(f64::INFINITY);
                }
                let most = SETTINGS.step * SETTINGS.steps_per_window;
                assert!(control.threshold() <= opened + most + 1e-9);
                let passed = rng.unit() * 0.3;
                control.pass(passed);
                window += passed;
                if window >= 1.0 {
                    window -= 1.0;
                    opened = control.threshold();
                }
                assert!((SETTINGS.floor..=SETTINGS.ceiling).contains(&control.threshold()));
            }
        }
    }

    #[test]
    fn after_an_attack_it_comes_back_within_the_promised_time() {
        for windows in [1_u32, 3, 10] {
            let mut control = Control::new(3.0, SETTINGS);
            for _ in 0..windows {
                for _ in 0..1000 {
                    control.alarm(100.0);
                }
                control.pass(1.0);
            }
            // Each window of the attack costs at most as many windows of quiet as it has steps.
            let quiet = f64::from(windows) * SETTINGS.steps_per_window;
            control.pass(quiet);
            assert!(control.threshold() <= 3.0 + 1e-9, "{}", control.threshold());
        }
    }

    #[test]
    fn frozen_it_stays() {
        let mut control = Control::new(3.0, SETTINGS);
        control.freeze(true);
        for _ in 0..100 {
            assert!(control.alarm(5.0));
            control.pass(0.5);
        }
        assert_eq!((control.threshold(), control.alarms()), (3.0, 100));
        control.freeze(false);
        control.alarm(5.0);
        assert_eq!(control.threshold(), 3.25);
    }

    /// In any stretch: no more than what is expected in it and the capacity.
    #[test]
    fn an_allowance_is_never_overdrawn() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed, Purpose::Holdout);
            let mut allowance = Allowance::new(10.0, 3.0);
            let mut granted = Vec::new();
            let mut passed = Vec::new();
            for _ in 0..5000 {
                let asked = rng.below(30);
                let given = (0..asked)
                    .filter(|_| allowance.take(rng.unit() < 0.5))
                    .count();
                let expected = rng.unit() * rng.unit() * 4.0;
                allowance.pass(expected);
                granted.push(given as f64);
                passed.push(expected);
            }
            for stretch in [1, 10, 300, 5000] {
                for at in (0..5000 - stretch + 1).step_by(97) {
                    let given: f64 = granted[at..at + stretch].iter().sum();
                    // What passes at the very end of the stretch is for the next.
                    let expected: f64 = passed[at..at + stretch - 1].iter().sum();
                    assert!(given <= expected + 10.0 + 1e-6, "seed {seed} at {at}");
                }
            }
        }
    }

    #[test]
    fn small_ones_leave_the_reserve_to_great_ones() {
        let mut allowance = Allowance::new(4.0, 2.0);
        assert_eq!((0..9).filter(|_| allowance.take(false)).count(), 2);
        assert_eq!((0..9).filter(|_| allowance.take(true)).count(), 2);
        // The smallest budget still tells its first.
        assert!(Allowance::new(0.1, 5.0).take(false));
    }
}
