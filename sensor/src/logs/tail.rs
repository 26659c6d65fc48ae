//! Text that comes in pieces, cut anywhere: whole records are taken, the rest waits for its end.

use std::io::Read as _;

use super::{Event, Loss, Losses, csv, read::object};
use crate::lines::LINE_MAX_BYTES;

/// What ends a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A line end.
    Json,
    /// A line end outside of quotes.
    Csv,
}

/// The unfinished end of a file that is followed.
#[derive(Debug)]
pub(super) struct Tail {
    shape: Shape,
    /// Of a table: its first row, with what stands before it.
    header: Vec<u8>,
    rest: Vec<u8>,
    /// How much of the rest was looked at in vain, and whether quotes are open there.
    looked: (usize, bool),
    /// A record that is too long is being skipped.
    skipping: bool,
}

impl Tail {
    const fn new(shape: Shape) -> Self {
        Self {
            shape,
            header: Vec::new(),
            rest: Vec::new(),
            looked: (0, false),
            skipping: false,
        }
    }

    /// One object a line.
    pub(super) const fn json() -> Self {
        Self::new(Shape::Json)
    }

    /// A table with a header.
    pub(super) const fn csv() -> Self {
        Self::new(Shape::Csv)
    }

    /// The same kind of file from its beginning.
    pub(super) const fn again(&self) -> Self {
        Self::new(self.shape)
    }

    /// Takes the next piece, and hands on the events that are whole now.
    pub(super) fn push(&mut self, piece: &[u8], losses: &mut Losses, each: &mut dyn FnMut(Event)) {
        self.rest.extend_from_slice(piece);
        let mut taken = 0;
        // Whole rows of a table are read together: its columns have to be looked up each time.
        let mut rows = 0..0;
        while let Some(end) = self.end() {
            let record = taken..end;
            taken = end;
            if std::mem::take(&mut self.skipping) {
                rows = end..end;
                continue;
            }
            match self.shape {
                Shape::Json => {
                    let line = self.rest[record].trim_ascii();
                    if !line.is_empty() {
                        object(line, losses, each);
                    }
                }
                Shape::Csv if self.is_headless() => {
                    self.header.extend_from_slice(&self.rest[record]);
                    rows = end..end;
                }
                Shape::Csv => rows.end = end,
            }
        }
        if !rows.is_empty() {
            let table = self.header.as_slice().chain(&self.rest[rows]);
            csv::read(table, losses, each);
        }
        self.rest.drain(..taken);
        self.looked.0 -= taken;
        if self.rest.len() > LINE_MAX_BYTES {
            if !self.skipping {
                losses.add(Loss::TooLong);
            }
            self.skipping = true;
            self.rest.clear();
            self.looked = (0, false);
        }
    }

    /// Whether the header is still to come: rows that begin with `#` stand before it.
    fn is_headless(&self) -> bool {
        let last = self.header.trim_ascii_end();
        let line = last.rsplit(|byte| *byte == b'\n').next().unwrap_or(last);
        line.is_empty() || line.starts_with(b"#")
    }

    /// Where the next whole record ends in the rest.
    fn end(&mut self) -> Option<usize> {
        let (from, mut quoted) = self.looked;
        for (at, byte) in self.rest.iter().enumerate().skip(from) {
            match byte {
                b'"' if self.shape == Shape::Csv => quoted = !quoted,
                b'\n' if !quoted => {
                    self.looked = (at + 1, false);
                    return Some(at + 1);
                }
                _ => {}
            }
        }
        self.looked = (self.rest.len(), quoted);
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(mut tail: Tail, pieces: &[&[u8]]) -> (Vec<Event>, Losses) {
        let (mut events, mut losses) = (Vec::new(), Losses::default());
        for piece in pieces {
            tail.push(piece, &mut losses, &mut |event| events.push(event));
        }
        (events, losses)
    }

    const JSON: &str = "{\"EventID\":4625,\"Computer\":\"a\"}\n\n{\"EventID\":4624,\"Computer\":\"b\"}\r\nnothing\n{\"EventID\":1}\n";
    const CSV: &str = "#TYPE x\r\nEventID,Computer,Message\r\n4625,a,\"two\r\nlines, \"\"quoted\"\"\"\r\n4624,b,\r\nx,y,z\r\n";

    proptest! {
        /// However the pieces are cut, the events are those of the whole.
        #[test]
        fn cuts_change_nothing(cuts in prop::collection::vec(0_usize..160, 0..6), is_json in any::<bool>()) {
            let (text, tail) = if is_json { (JSON, Tail::json()) } else { (CSV, Tail::csv()) };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            let whole = all(tail.again(), &[text.as_bytes()]);
            prop_assert_eq!(whole.0.len(), if is_json { 3 } else { 2 });
            prop_assert_eq!(whole.1.total(), 1);
            prop_assert_eq!(all(tail, &pieces), whole);
        }
    }

    #[test]
    fn a_record_without_end_is_skipped_and_the_next_is_read() {
        let long = vec![b'x'; LINE_MAX_BYTES + 10];
        let next = b"xx\n{\"EventID\":4625,\"Computer\":\"a\"}\n";
        let (events, losses) = all(Tail::json(), &[&long, &long, next]);
        assert_eq!((events.len(), losses.of(Loss::TooLong)), (1, 1));
        assert_eq!(losses.total(), 1);
    }
}
