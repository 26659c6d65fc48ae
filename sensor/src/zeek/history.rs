//! Zeek's `history` as structure: who did what, in which order.
//!
//! Capitals are the originator's, small letters the responder's; a letter comes again, for C, G, T and W, each time
//! its count grows tenfold (Zeek script reference, base/protocols/conn/main.zeek, `history`).

/// Bits of [`Side::did`].
pub mod did {
    /// `S`: SYN without ACK.
    pub const SYN: u16 = 1 << 0;
    /// `H`: SYN with ACK, a handshake.
    pub const HANDSHAKE: u16 = 1 << 1;
    /// `A`: a pure ACK.
    pub const ACK: u16 = 1 << 2;
    /// `D`: payload.
    pub const DATA: u16 = 1 << 3;
    /// `F`: FIN.
    pub const FIN: u16 = 1 << 4;
    /// `R`: RST.
    pub const RST: u16 = 1 << 5;
    /// `C`: a bad checksum.
    pub const BAD_CHECKSUM: u16 = 1 << 6;
    /// `G`: a gap in the content.
    pub const GAP: u16 = 1 << 7;
    /// `T`: a retransmission.
    pub const RETRANSMITTED: u16 = 1 << 8;
    /// `W`: a zero window.
    pub const ZERO_WINDOW: u16 = 1 << 9;
    /// `I`: inconsistent packet, such as FIN and RST together.
    pub const INCONSISTENT: u16 = 1 << 10;
    /// `Q`: several flags at once that should not meet, such as SYN and FIN.
    pub const MULTI_FLAG: u16 = 1 << 11;
    /// A letter that is none of Zeek's.
    pub const OTHER: u16 = 1 << 12;
}

/// One side's part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// [`did`] bits.
    pub did: u16,
    /// Letters that came again: retransmissions, gaps, bad checksums and zero windows, in powers of ten.
    pub again: u16,
}

/// Who ended a connection first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ender {
    /// The originator, by FIN or RST.
    Originator,
    /// The responder.
    Responder,
}

/// A `history`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The originator's part.
    pub orig: Side,
    /// The responder's part.
    pub resp: Side,
    /// `^`: Zeek turned the connection round.
    pub flipped: bool,
    /// Letters.
    pub length: u16,
    /// How often the side that speaks changed.
    pub turns: u16,
    /// Which side's FIN or RST came first.
    pub ender: Option<Ender>,
    /// Whether the first letter is the responder's: the beginning was not seen.
    pub begins_with_responder: bool,
}

impl History {
    /// Reads any text; there is no wrong one.
    pub fn parse(text: &str) -> Self {
        let mut history = Self::default();
        let mut before = None;
        for letter in text.bytes() {
            history.length = history.length.saturating_add(1);
            if letter == b'^' {
                history.flipped = true;
                continue;
            }
            let bit = bit(letter.to_ascii_uppercase());
            let from_orig = letter.is_ascii_uppercase();
            let side = match from_orig {
                true => &mut history.orig,
                false => &mut history.resp,
            };
            if side.did & bit != 0 {
                side.again = side.again.saturating_add(1);
            }
            side.did |= bit;
            match before {
                None => history.begins_with_responder = !from_orig,
                Some(before) if before != from_orig => {
                    history.turns = history.turns.saturating_add(1);
                }
                Some(_) => {}
            }
            before = Some(from_orig);
            if bit & (did::FIN | did::RST) != 0 && history.ender.is_none() {
                history.ender = Some(match from_orig {
                    true => Ender::Originator,
                    false => Ender::Responder,
                });
            }
        }
        history
    }
}

const fn bit(letter: u8) -> u16 {
    match letter {
        b'S' => did::SYN,
        b'H' => did::HANDSHAKE,
        b'A' => did::ACK,
        b'D' => did::DATA,
        b'F' => did::FIN,
        b'R' => did::RST,
        b'C' => did::BAD_CHECKSUM,
        b'G' => did::GAP,
        b'T' => did::RETRANSMITTED,
        b'W' => did::ZERO_WINDOW,
        b'I' => did::INCONSISTENT,
        b'Q' => did::MULTI_FLAG,
        _ => did::OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_sides_are_kept() {
        let history = History::parse("ShADTadtFf");
        assert_eq!(
            history.orig.did,
            did::SYN | did::ACK | did::DATA | did::RETRANSMITTED | did::FIN
        );
        assert_eq!(
            history.resp.did,
            did::HANDSHAKE | did::ACK | did::DATA | did::RETRANSMITTED | did::FIN
        );
        assert_eq!(history.ender, Some(Ender::Originator));
        assert_eq!((history.turns, history.length), (5, 10));
        assert!(!history.flipped && !history.begins_with_responder);
    }

    #[test]
    fn flipped_and_repeated() {
        let history = History::parse("^hCadcfC");
        assert!(history.flipped && history.begins_with_responder);
        assert_eq!((history.orig.again, history.resp.again), (1, 0));
        assert_eq!(history.ender, Some(Ender::Responder));
        assert_eq!(History::parse(""), History::default());
        assert_eq!(History::parse("\u{e9}!").resp.did, did::OTHER);
    }
}
