//! One connection as Zeek logs it, typed.

use std::net::IpAddr;

use sensor_ebpf::flow::TimeNs;

use super::{beside::Application, columns::field, history::History, record::Fields};
use crate::{
    flow::{ConnState, is_group, key_address},
    time::Stamp,
};

/// What one side of a connection sent, as far as the log says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Payload bytes; for TCP from the sequence numbers.
    pub bytes: Option<u64>,
    /// Packets.
    pub packets: Option<u64>,
    /// IP bytes.
    pub ip_bytes: Option<u64>,
    /// Whether the site's configuration calls the address its own.
    pub local: Option<bool>,
}

/// A record of conn.log. `None`: unset, absent or unreadable; never a number in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Conn {
    /// Line in the file, from 1.
    pub line: u64,
    /// Time of the first packet.
    pub start: TimeNs,
    /// Zeek's id of the connection; empty where there is none.
    pub uid: String,
    /// Originator's address.
    pub source: IpAddr,
    /// Originator's port; for ICMP its type.
    pub source_port: Option<u16>,
    /// Responder's address.
    pub destination: IpAddr,
    /// Responder's port; for ICMP the code.
    pub destination_port: Option<u16>,
    /// IP protocol number; 255 (reserved, RFC 5237) for a transport that Zeek does not know.
    pub protocol: u8,
    /// Application protocols that Zeek recognised, sorted, with commas between.
    pub service: Option<String>,
    /// First to last packet.
    pub duration_ns: Option<u64>,
    /// What the originator sent.
    pub orig: Endpoint,
    /// What the responder sent.
    pub resp: Endpoint,
    /// How it went.
    pub state: Option<ConnState>,
    /// Bytes that were lost on the way to Zeek.
    pub missed_bytes: Option<u64>,
    /// What was seen, in order.
    pub history: Option<History>,
    /// Connections that this one was tunnelled in.
    pub tunnel_parents: Option<u32>,
    /// What the logs beside this one say.
    pub application: Application,
    /// First label column, in logs that were labelled.
    pub label: Option<String>,
    /// Second label column.
    pub detailed_label: Option<String>,
}

impl Conn {
    /// Reads the fields; `None` without time, addresses and protocol. Counts fields whose text makes no sense in `unreadable`.
    pub(super) fn read(fields: &Fields, line: u64, unreadable: &mut u64) -> Option<Self> {
        let mut reader = Reader { fields, unreadable };
        let start = time(fields.get(field::TS)?)?;
        let source = address(fields.get(field::ORIG_H)?)?;
        let destination = address(fields.get(field::RESP_H)?)?;
        let protocol = protocol(fields.get(field::PROTO)?, destination)?;
        Some(Self {
            line,
            start,
            uid: fields.get(field::UID).unwrap_or_default().to_owned(),
            source,
            source_port: reader.number(field::ORIG_P),
            destination,
            destination_port: reader.number(field::RESP_P),
            protocol,
            service: fields
                .get(field::SERVICE)
                .filter(|text| !text.is_empty())
                .map(sorted),
            duration_ns: reader.read(field::DURATION, seconds),
            orig: Endpoint {
                bytes: reader.number(field::ORIG_BYTES),
                packets: reader.number(field::ORIG_PKTS),
                ip_bytes: reader.number(field::ORIG_IP_BYTES),
                local: reader.read(field::LOCAL_ORIG, yes),
            },
            resp: Endpoint {
                bytes: reader.number(field::RESP_BYTES),
                packets: reader.number(field::RESP_PKTS),
                ip_bytes: reader.number(field::RESP_IP_BYTES),
                local: reader.read(field::LOCAL_RESP, yes),
            },
            state: reader.read(field::CONN_STATE, ConnState::parse),
            missed_bytes: reader.number(field::MISSED_BYTES),
            history: fields.get(field::HISTORY).map(History::parse),
            tunnel_parents: fields.get(field::TUNNEL_PARENTS).map(|text| {
                let parents = text.split(',').filter(|uid| !uid.is_empty()).count();
                u32::try_from(parents).unwrap_or(u32::MAX)
            }),
            application: Application::default(),
            label: fields.get(field::LABEL).map(str::to_owned),
            detailed_label: fields.get(field::DETAILED_LABEL).map(str::to_owned),
        })
    }

    /// When Zeek knew what it logs: time of the last packet.
    pub fn end(&self) -> TimeNs {
        self.start.saturating_add(self.duration_ns.unwrap_or(0))
    }

    /// Whether no answer is due: what goes to a group is heard, not answered from its address.
    pub fn is_announcement(&self) -> bool {
        is_group(&key_address(self.destination))
    }

    /// Whether the responder did what it was asked: answered, and did not merely refuse. An announcement asks nothing.
    pub fn is_served(&self) -> bool {
        use ConnState::{Rej, Rstos0, Rstrh, S0, Sh, Shr};
        if self.is_announcement() {
            return true;
        }
        let refused = matches!(self.state, Some(S0 | Rej | Rstos0 | Rstrh | Sh | Shr));
        let said = self.resp.bytes.is_some_and(|bytes| bytes > 0);
        self.is_answered()
            && if self.protocol == 6 {
                !refused && said
            } else {
                true
            }
    }

    /// Whether the responder sent anything.
    pub fn is_answered(&self) -> bool {
        match self.resp.packets {
            Some(packets) => packets > 0,
            None => self.resp.bytes.is_some_and(|bytes| bytes > 0),
        }
    }
}

struct Reader<'a> {
    fields: &'a Fields,
    unreadable: &'a mut u64,
}

impl Reader<'_> {
    fn read<T>(&mut self, at: usize, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.fields.get(at).filter(|text| !text.is_empty())?;
        let value = parse(text);
        *self.unreadable += u64::from(value.is_none());
        value
    }

    fn number<T: TryFrom<u64>>(&mut self, at: usize) -> Option<T> {
        self.read(at, |text| {
            // Some writers of JSON know only floating point.
            let whole = text.strip_suffix(".0").unwrap_or(text);
            whole
                .parse()
                .ok()
                .and_then(|number: u64| number.try_into().ok())
        })
    }
}

fn yes(text: &str) -> Option<bool> {
    match text {
        "T" | "true" => Some(true),
        "F" | "false" => Some(false),
        _ => None,
    }
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// Zeek gives services as it recognised them; two orders of one set are one service.
fn sorted(text: &str) -> String {
    if !text.contains(',') {
        return text.to_owned();
    }
    let mut names: Vec<&str> = text.split(',').collect();
    names.sort_unstable();
    names.join(",")
}

fn protocol(text: &str, destination: IpAddr) -> Option<u8> {
    Some(match text {
        "tcp" => 6,
        "udp" => 17,
        "icmp" if destination.is_ipv6() => 58,
        "icmp" => 1,
        "" => return None,
        _ => 255,
    })
}

/// A time: seconds with a fraction, whole milliseconds, or RFC 3339: Zeek's JSON writer can do each
/// (`LogAscii::json_timestamps`).
fn time(text: &str) -> Option<TimeNs> {
    /// Seconds beyond the year 5138 are milliseconds.
    const MILLISECONDS: u64 = 100_000_000_000;
    if text.contains('T') {
        return Stamp::parse(text).map(|stamp| stamp.0);
    }
    let (whole, _) = text.split_once('.').unwrap_or((text, ""));
    if whole
        .parse::<u64>()
        .is_ok_and(|whole| whole >= MILLISECONDS)
    {
        return decimal(text, 6);
    }
    seconds(text)
}

fn seconds(text: &str) -> Option<u64> {
    decimal(text, 9)
}

/// A decimal number times 10^`shift`, exactly, digits behind that cut off.
fn decimal(text: &str, shift: usize) -> Option<u64> {
    if text.contains(['e', 'E']) {
        let value: f64 = text.parse().ok()?;
        let scaled = value * 10_f64.powi(i32::try_from(shift).ok()?);
        return (scaled >= 0.0 && scaled < u64::MAX as f64).then_some(scaled as u64);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(shift).ok()?);
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let kept = &fraction[..fraction.len().min(shift)];
    let part: u64 = if kept.is_empty() {
        0
    } else {
        kept.parse().ok()?
    };
    let part = part * 10_u64.pow(u32::try_from(shift - kept.len()).ok()?);
    whole.checked_mul(scale)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact() {
        assert_eq!(time("19.981745"), Some(19_981_745_000));
        assert_eq!(time("1588205199.82437"), Some(1_588_205_199_824_370_000));
        assert_eq!(time("1588205199824"), Some(1_588_205_199_824_000_000));
        assert_eq!(
            time("2020-04-30T00:06:39.824370Z"),
            Some(1_588_205_199_824_370_000)
        );
        assert_eq!(time("1.5882051998e9"), Some(1_588_205_199_800_000_000));
        for wrong in ["", "-1", "x", ".", "1.2.3", "99999999999999999999"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
        assert_eq!(seconds("0.0012309551239013672"), Some(1_230_955));
    }
}
