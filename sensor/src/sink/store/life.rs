//! What becomes of an incident: open, acknowledged, closed, suppressed. Pure; the store keeps it and everybody acts by it.
//!
//! ```text
//!            acknowledge            close
//!     open ──────────────▶ acknowledged ─────▶ closed          reopen: acknowledged, closed ─▶ open
//!      ▲  ◀──── graver ─────────┘ ◀──── graver ──┘
//!      └── no mute covers it any more ── suppressed ◀── a mute covers it (open, acknowledged, untold)
//!
//!     untold ── it is told after all ─▶ open             untold ── acknowledge, close ─▶ as above
//! ```
//!
//! Untold is what the alert budget kept back: it is there for who looks for it, and calls nobody.
//!
//! To acknowledge and to close both say: somebody knows. Both hold until the incident becomes graver than it was then, which opens
//! it again; a new incident of the same host and kind, after half an hour of quiet, is another one and begins open.

use crate::score::Severity;

/// Where an incident is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nobody has dealt with it.
    Open,
    /// Somebody deals with it.
    Acknowledged,
    /// Somebody has dealt with it.
    Closed,
    /// Nobody wants to hear of it.
    Suppressed,
    /// Nobody was told of it, because of the alert budget.
    Untold,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Open,
        Self::Acknowledged,
        Self::Closed,
        Self::Suppressed,
        Self::Untold,
    ];

    /// Name for people and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
            Self::Suppressed => "suppressed",
            Self::Untold => "untold",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The state of this number, as the store keeps it.
    pub(super) fn of(number: i64) -> Self {
        let known = usize::try_from(number)
            .ok()
            .and_then(|at| Self::ALL.get(at));
        known.copied().unwrap_or(Self::Open)
    }
}

/// What happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Somebody deals with it.
    Acknowledged,
    /// Somebody has dealt with it.
    Closed,
    /// Somebody opened it again.
    Reopened,
    /// It became graver than it was when somebody dealt with it.
    Graver,
    /// A mute covers it.
    Suppressed,
    /// No mute covers it any more.
    Heard,
}

impl Change {
    /// Name for people and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
            Self::Graver => "open again: graver",
            Self::Suppressed => "suppressed",
            Self::Heard => "no longer suppressed",
        }
    }
}

/// The life of one incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Where it is.
    pub state: State,
    /// Where it was before it was suppressed.
    pub before: State,
    /// How grave it was when somebody dealt with it.
    pub then: Severity,
    /// What suppresses it: number of a suppression, 0 for a maintenance window.
    pub mute: Option<i64>,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            state: State::Open,
            before: State::Open,
            then: Severity::Info,
            mute: None,
        }
    }
}

impl Life {
    /// Of an incident that nobody is told of.
    pub fn untold() -> Self {
        Self {
            state: State::Untold,
            ..Self::default()
        }
    }

    /// It is told after all.
    pub fn tell(&mut self) {
        for state in [&mut self.state, &mut self.before] {
            if *state == State::Untold {
                *state = State::Open;
            }
        }
    }

    /// The incident was heard of, or a mute came or went: how grave it is, and which mute covers it.
    pub fn hear(&mut self, severity: Severity, mute: Option<i64>) -> Option<Change> {
        match (self.state, mute) {
            (State::Open | State::Acknowledged | State::Untold, Some(_)) => {
                self.before = self.state;
                self.state = State::Suppressed;
                self.mute = mute;
                return Some(Change::Suppressed);
            }
            (State::Suppressed, Some(_)) => {
                self.mute = mute;
                return None;
            }
            (State::Suppressed, None) => {
                self.state = self.before;
                self.mute = None;
                self.grow(severity);
                return Some(Change::Heard);
            }
            _ => {}
        }
        self.grow(severity).then_some(Change::Graver)
    }

    /// What became graver than it was when somebody dealt with it is open again.
    fn grow(&mut self, severity: Severity) -> bool {
        let again =
            matches!(self.state, State::Acknowledged | State::Closed) && severity > self.then;
        if again {
            self.state = State::Open;
        }
        again
    }

    /// Somebody deals with it. Only what is open can be acknowledged, and what nobody was told of.
    pub fn acknowledge(&mut self, severity: Severity) -> Option<Change> {
        if !matches!(self.state, State::Open | State::Untold) {
            return None;
        }
        self.state = State::Acknowledged;
        self.then = severity;
        Some(Change::Acknowledged)
    }

    /// Somebody has dealt with it.
    pub fn close(&mut self, severity: Severity) -> Option<Change> {
        if self.state == State::Closed {
            return None;
        }
        self.state = State::Closed;
        self.then = severity;
        self.mute = None;
        Some(Change::Closed)
    }

    /// Somebody opens it again. What is suppressed stays so: its mute has to go.
    pub fn reopen(&mut self) -> Option<Change> {
        if !matches!(self.state, State::Acknowledged | State::Closed) {
            return None;
        }
        self.state = State::Open;
        Some(Change::Reopened)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Heard(Severity, Option<i64>),
        Told,
        Acknowledge,
        Close,
        Reopen,
    }

    fn severity() -> impl Strategy<Value = Severity> {
        (1_usize..5).prop_map(|at| Severity::ALL[at])
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (severity(), proptest::option::of(0_i64..3)).prop_map(|(grave, mute)| Step::Heard(grave, mute)),
            1 => Just(Step::Told),
            1 => Just(Step::Acknowledge),
            1 => Just(Step::Close),
            1 => Just(Step::Reopen),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: what a person said holds until the incident becomes graver, a mute suppresses
        /// exactly what is not closed and exactly as long as it covers, and each answer tells what changed.
        #[test]
        fn a_life_keeps_its_promises(untold in proptest::bool::ANY, steps in proptest::collection::vec(step(), 1..60)) {
            let mut life = if untold { Life::untold() } else { Life::default() };
            let mut now = Severity::Low;
            for step in steps {
                let before = life;
                let change = match step {
                    Step::Heard(grave, mute) => {
                        // An incident never becomes milder.
                        now = now.max(grave);
                        life.hear(now, mute)
                    }
                    Step::Told => {
                        life.tell();
                        prop_assert!(life.state != State::Untold && life.before != State::Untold);
                        if before.state != State::Untold {
                            prop_assert_eq!(life.state, before.state);
                        }
                        continue;
                    }
                    Step::Acknowledge => life.acknowledge(now),
                    Step::Close => life.close(now),
                    Step::Reopen => life.reopen(),
                };
                prop_assert_eq!(change.is_some(), before.state != life.state, "{:?} {:?} {:?}", before, step, life);
                prop_assert_eq!(life.state == State::Suppressed, life.mute.is_some());
                match step {
                    Step::Heard(_, Some(mute)) if before.state != State::Closed => {
                        prop_assert_eq!((life.state, life.mute), (State::Suppressed, Some(mute)));
                    }
                    Step::Heard(_, None) => {
                        prop_assert_ne!(life.state, State::Suppressed);
                        let dealt = if before.state == State::Suppressed { before.before } else { before.state };
                        let holds = dealt == State::Untold || (dealt != State::Open && now <= before.then);
                        prop_assert_eq!(life.state, if holds { dealt } else { State::Open });
                    }
                    Step::Told => {}
                    Step::Heard(..) => {
                        let holds = now <= before.then;
                        prop_assert_eq!(life.state, if holds { State::Closed } else { State::Open });
                    }
                    Step::Acknowledge => prop_assert_eq!(life.state == State::Acknowledged,
                        matches!(before.state, State::Open | State::Acknowledged | State::Untold)),
                    Step::Close => prop_assert_eq!(life.state, State::Closed),
                    Step::Reopen => prop_assert_eq!(life.state,
                        if matches!(before.state, State::Suppressed | State::Untold) { before.state } else { State::Open }),
                }
            }
        }
    }

    #[test]
    fn names_go_there_and_back() {
        for (number, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(State::parse(state.name()), Some(state));
            assert_eq!(State::of(number as i64), state);
        }
        assert_eq!(State::parse("Open"), None);
    }
}
