//! What a flow did, in Zeek's words, derived from the `seen` bits of its two sides.

use std::fmt;

use sensor_ebpf::flow::{Half, seen};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Zeek's `conn_state` (script reference, base/protocols/conn/main.zeek).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnState {
    /// Attempt seen, no answer.
    S0,
    /// Established, not ended.
    S1,
    /// Ended normally.
    Sf,
    /// Attempt rejected.
    Rej,
    /// Established, originator has closed, no answer to that.
    S2,
    /// Established, responder has closed, no answer to that.
    S3,
    /// Established, originator aborted.
    Rsto,
    /// Responder aborted.
    Rstr,
    /// Originator sent SYN then RST, responder nothing.
    Rstos0,
    /// Responder sent SYN-ACK then RST, originator's SYN not seen.
    Rstrh,
    /// Originator sent SYN then FIN, responder nothing: half open.
    Sh,
    /// Responder sent SYN-ACK then FIN, originator's SYN not seen.
    Shr,
    /// Begun before the sensor looked, or no such thing in this protocol.
    Oth,
}

impl ConnState {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::S0,
        Self::S1,
        Self::Sf,
        Self::Rej,
        Self::S2,
        Self::S3,
        Self::Rsto,
        Self::Rstr,
        Self::Rstos0,
        Self::Rstrh,
        Self::Sh,
        Self::Shr,
        Self::Oth,
    ];

    /// The state of this name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// As Zeek writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::S0 => "S0",
            Self::S1 => "S1",
            Self::Sf => "SF",
            Self::Rej => "REJ",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::Rsto => "RSTO",
            Self::Rstr => "RSTR",
            Self::Rstos0 => "RSTOS0",
            Self::Rstrh => "RSTRH",
            Self::Sh => "SH",
            Self::Shr => "SHR",
            Self::Oth => "OTH",
        }
    }
}

impl fmt::Display for ConnState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Zeek's decision (`conn_state` in main.zeek), with a side "inactive" when it took no part in a handshake: Zeek
/// tracks that as an endpoint state, here it is read from what the side has sent.
pub(super) fn conn_state(protocol: u8, orig: &Half, resp: &Half) -> ConnState {
    match protocol {
        TCP => tcp_state(orig, resp),
        UDP => match (orig.packets > 0, resp.packets > 0) {
            (true, true) => ConnState::Sf,
            (true, false) => ConnState::S0,
            (false, true) => ConnState::Shr,
            (false, false) => ConnState::Oth,
        },
        _ => ConnState::Oth,
    }
}

fn tcp_state(orig: &Half, resp: &Half) -> ConnState {
    let (o, r) = (orig.seen, resp.seen);
    let has = |bits: u16, bit: u16| bits & bit != 0;
    let orig_opened = has(o, seen::SYN | seen::SYN_ACK);
    let resp_opened = has(r, seen::SYN | seen::SYN_ACK);
    if has(r, seen::RST) {
        return if orig_opened && !resp_opened && !has(r, seen::DATA) {
            ConnState::Rej
        } else if !orig_opened && resp_opened {
            ConnState::Rstrh
        } else if orig_opened {
            ConnState::Rstr
        } else {
            ConnState::Oth
        };
    }
    if has(o, seen::RST) {
        return match (orig_opened, resp_opened) {
            (true, true) => ConnState::Rsto,
            (true, false) => ConnState::Rstos0,
            _ => ConnState::Oth,
        };
    }
    match (has(o, seen::FIN), has(r, seen::FIN)) {
        (true, true) if orig_opened || resp_opened => ConnState::Sf,
        (true, _) if orig_opened && !resp_opened => ConnState::Sh,
        (true, _) if orig_opened => ConnState::S2,
        (_, true) if resp_opened && !orig_opened => ConnState::Shr,
        (_, true) if resp_opened => ConnState::S3,
        (false, false) if orig_opened && resp.packets == 0 => ConnState::S0,
        (false, false) if orig_opened && resp_opened => ConnState::S1,
        _ => ConnState::Oth,
    }
}

/// See [`super::FlowRecord::history`].
pub(super) fn history(orig: &Half, resp: &Half) -> String {
    const LETTERS: [(u16, char); 8] = [
        (seen::SYN, 'S'),
        (seen::SYN_ACK, 'H'),
        (seen::PURE_ACK, 'A'),
        (seen::DATA, 'D'),
        (seen::FIN, 'F'),
        (seen::RST, 'R'),
        (seen::INCONSISTENT, 'I'),
        (seen::ZERO_WINDOW, 'W'),
    ];
    let of = |half: &Half| {
        let seen = half.seen;
        LETTERS
            .into_iter()
            .filter(move |(bit, _)| seen & bit != 0)
            .map(|(_, letter)| letter)
    };
    of(orig)
        .chain(of(resp).map(|letter| letter.to_ascii_lowercase()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(bits: u16) -> Half {
        Half {
            seen: bits,
            packets: u64::from(bits != 0),
            ..Half::EMPTY
        }
    }

    #[test]
    fn zeek_states() {
        use seen::{DATA, FIN, PURE_ACK, RST, SYN, SYN_ACK};
        let cases = [
            (SYN, 0, "S0"),
            (SYN, RST, "REJ"),
            (SYN | PURE_ACK, SYN_ACK, "S1"),
            (SYN | PURE_ACK | DATA | FIN, SYN_ACK | DATA | FIN, "SF"),
            (SYN | PURE_ACK | FIN, SYN_ACK, "S2"),
            (SYN | PURE_ACK, SYN_ACK | FIN, "S3"),
            (SYN | PURE_ACK | RST, SYN_ACK, "RSTO"),
            (SYN | PURE_ACK, SYN_ACK | RST, "RSTR"),
            (SYN | RST, 0, "RSTOS0"),
            (0, SYN_ACK | RST, "RSTRH"),
            (SYN | FIN, 0, "SH"),
            (0, SYN_ACK | FIN, "SHR"),
            (PURE_ACK | DATA, PURE_ACK | DATA, "OTH"),
        ];
        for (orig, resp, expected) in cases {
            assert_eq!(
                conn_state(TCP, &half(orig), &half(resp)).name(),
                expected,
                "{orig:b} {resp:b}"
            );
        }
        assert_eq!(conn_state(UDP, &half(DATA), &half(0)).name(), "S0");
        assert_eq!(conn_state(UDP, &half(DATA), &half(DATA)).name(), "SF");
    }

    #[test]
    fn history_is_a_set_in_fixed_order() {
        let orig = half(seen::SYN | seen::PURE_ACK | seen::DATA | seen::FIN);
        let resp = half(seen::SYN_ACK | seen::RST);
        assert_eq!(history(&orig, &resp), "SADFhr");
    }
}
