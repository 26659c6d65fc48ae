//! How entries lie within each other, and the intervals that they cut the addresses into.

use super::{
    Lists, Prefix, prefix,
    table::{Intervals, NONE},
};

impl Lists {
    /// Puts each entry into the one around it, and cuts the addresses into intervals.
    pub(super) fn nest(&mut self) {
        // Of two lists with one entry, the list that was named first is told first: it lies innermost.
        self.entries
            .sort_by(|a, b| a.what.cmp(&b.what).then(b.list.cmp(&a.list)));
        let is_v4 = |what: &Prefix| what.is_v4();
        let (mut steps_v4, mut steps_v6) = (Vec::new(), Vec::new());
        for v4 in [true, false] {
            let allowed: Vec<Prefix> = self
                .allowed
                .iter()
                .copied()
                .filter(|one| is_v4(one) == v4)
                .collect();
            let steps = if v4 { &mut steps_v4 } else { &mut steps_v6 };
            let mut sweep = Sweep::new(steps);
            let mut allowed = allowed.into_iter().peekable();
            for at in 0..self.entries.len() {
                let what = self.entries[at].what;
                if is_v4(&what) != v4 {
                    continue;
                }
                while let Some(gap) = allowed.next_if(|gap| *gap <= what) {
                    sweep.begin(gap, None);
                }
                self.entries[at].around = sweep.begin(what, Some(at as u32));
            }
            for gap in allowed {
                sweep.begin(gap, None);
            }
            sweep.end();
        }
        self.v4 = Intervals::new(
            0,
            steps_v4
                .into_iter()
                // An interval that ends where IPv4 ends has nothing behind it.
                .filter_map(|(start, value)| Some((prefix::v4(start)?, value))),
        );
        self.v6 = Intervals::new(0, steps_v6.into_iter());
    }
}

/// Walks over prefixes in order and writes down where the innermost one changes.
struct Sweep<'a> {
    steps: &'a mut Vec<(u128, u32)>,
    /// What holds the present address, outermost first; without a number where it is allowed.
    open: Vec<(Prefix, Option<u32>)>,
    allowing: usize,
}

impl<'a> Sweep<'a> {
    const fn new(steps: &'a mut Vec<(u128, u32)>) -> Self {
        Self {
            steps,
            open: Vec::new(),
            allowing: 0,
        }
    }

    fn innermost(&self) -> u32 {
        self.open
            .iter()
            .rev()
            .find_map(|(_, at)| *at)
            .unwrap_or(NONE)
    }

    fn step(&mut self, start: u128) {
        let value = if self.allowing > 0 {
            NONE
        } else {
            self.innermost()
        };
        self.steps.push((start, value));
    }

    fn close(&mut self) {
        let Some((what, at)) = self.open.pop() else {
            return;
        };
        self.allowing -= usize::from(at.is_none());
        if let Some(next) = what.last().checked_add(1) {
            self.step(next);
        }
    }

    /// Begins a prefix; answers which entry is around it.
    fn begin(&mut self, what: Prefix, at: Option<u32>) -> u32 {
        while self
            .open
            .last()
            .is_some_and(|(open, _)| open.last() < what.first())
        {
            self.close();
        }
        let around = self.innermost();
        self.allowing += usize::from(at.is_none());
        self.open.push((what, at));
        self.step(what.first());
        around
    }

    fn end(mut self) {
        while !self.open.is_empty() {
            self.close();
        }
    }
}
