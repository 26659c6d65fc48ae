//! The declared table of what is known of a Zeek connection: one entry each, from which schema and extraction follow.
//!
//! An entry reads as in the table of flow features: name, unit, axis, whether the model sees it, where the definition
//! comes from, what it is, and the expression that computes it. What a log does not hold is missing, never 0.

use super::{
    Row,
    conn::{Conn, Endpoint},
    history::{Ender, Side, did},
    memory::Past,
    service,
};
use crate::{
    context::{ConversationView, HostView, ServiceClass, Window::*},
    features::{Family::*, Feature, Transform::*, day, week},
    flow::{is_private, key_address},
};

/// A connection at the moment when its row is computed.
pub(super) struct Input<'a> {
    pub(super) conn: &'a Conn,
    pub(super) past: Past,
    pub(super) source: Option<HostView>,
    pub(super) destination: Option<HostView>,
    pub(super) conversation: Option<ConversationView>,
}

fn number(value: Option<u64>) -> f32 {
    value.map_or(f32::NAN, |value| value as f32)
}

fn flag(value: Option<bool>) -> f32 {
    value.map_or(f32::NAN, |yes| f32::from(u8::from(yes)))
}

fn ratio(part: Option<u64>, whole: Option<u64>) -> f32 {
    match (part, whole) {
        (Some(part), Some(whole)) if whole > 0 => (part as f64 / whole as f64) as f32,
        _ => f32::NAN,
    }
}

/// (a - b) / (a + b).
fn balance(a: Option<u64>, b: Option<u64>) -> f32 {
    match (a, b) {
        (Some(a), Some(b)) if a + b > 0 => {
            let (a, b) = (a as f64, b as f64);
            ((a - b) / (a + b)) as f32
        }
        _ => f32::NAN,
    }
}

fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    Some(a?.saturating_add(b?))
}

impl Input<'_> {
    fn seconds(&self) -> f64 {
        self.conn
            .duration_ns
            .map_or(f64::NAN, |nanoseconds| nanoseconds as f64 / 1e9)
    }

    fn rate(&self, amount: Option<u64>) -> f32 {
        let seconds = self.seconds();
        match amount {
            Some(amount) if seconds > 0.0 => (amount as f64 / seconds) as f32,
            _ => f32::NAN,
        }
    }

    fn bytes(side: &Endpoint) -> Option<u64> {
        side.ip_bytes.or(side.bytes)
    }

    fn has_ports(&self) -> bool {
        matches!(self.conn.protocol, 6 | 17)
    }

    fn port(&self, of: impl FnOnce(u16) -> f32) -> f32 {
        match self.conn.destination_port {
            Some(port) if self.has_ports() => of(port),
            _ => f32::NAN,
        }
    }

    fn class(&self) -> f32 {
        let port = self.conn.destination_port;
        port.map_or(f32::NAN, |port| {
            f32::from(ServiceClass::of(self.conn.protocol, port) as u8)
        })
    }

    fn state(&self) -> f32 {
        self.conn
            .state
            .map_or(f32::NAN, |state| f32::from(state as u8))
    }

    /// Protocol and state as one name: `OTH` is all that ICMP can be, and rare for TCP.
    fn outcome(&self) -> f32 {
        self.state() + f32::from(self.conn.protocol) * 16.0
    }

    /// Kind of service and outcome as one name: no answer is common for multicast names and rare for the web.
    fn class_outcome(&self) -> f32 {
        self.outcome() * 8.0 + self.class()
    }

    fn side(&self, of: impl FnOnce(&super::History) -> f32) -> f32 {
        match &self.conn.history {
            Some(history) if history.length > 0 => of(history),
            _ => f32::NAN,
        }
    }

    /// What both sides did, of what a sensor's place does not change: without checksums, gaps and retransmissions.
    fn shape(&self) -> f32 {
        const KEPT: u16 = did::SYN | did::HANDSHAKE | did::ACK | did::DATA | did::FIN | did::RST;
        self.side(|history| {
            let bits = u32::from(history.orig.did & KEPT) << 6 | u32::from(history.resp.did & KEPT);
            bits as f32
        })
    }

    fn source_local(&self) -> bool {
        let conn = self.conn;
        conn.orig.local == Some(true) || is_private(&key_address(conn.source))
    }

    fn destination_local(&self) -> bool {
        let conn = self.conn;
        conn.resp.local == Some(true)
            || is_private(&key_address(conn.destination))
            || conn.is_announcement()
    }

    fn if_tcp(&self, value: f32) -> f32 {
        if self.conn.protocol == 6 {
            value
        } else {
            f32::NAN
        }
    }

    fn source(&self, of: impl FnOnce(&HostView) -> f32) -> f32 {
        self.source.as_ref().map_or(f32::NAN, of)
    }

    fn destination(&self, of: impl FnOnce(&HostView) -> f32) -> f32 {
        self.destination.as_ref().map_or(f32::NAN, of)
    }

    fn conversation(&self, of: impl FnOnce(&ConversationView) -> f32) -> f32 {
        self.conversation.as_ref().map_or(f32::NAN, of)
    }
}

fn bit(side: Side, bits: u16) -> f32 {
    f32::from(u8::from(side.did & bits != 0))
}

macro_rules! features {
    ($($family:ident: { $(
        $name:literal, $unit:literal, $transform:ident, $model:ident, $source:literal,
        $about:literal
        => |$x:ident| $value:expr;
    )* })*) => {
        /// Number of features.
        pub const COUNT: usize = [$($($name),*),*].len();

        /// Every feature, in the order of [`Row`].
        pub const TABLE: [Feature; COUNT] = [$($(Feature {
            name: $name,
            unit: $unit,
            family: $family,
            transform: $transform,
            model: features!(@$model),
            aside: false,
            source: $source,
            about: $about,
        }),*),*];

        /// Every value, in the order of [`TABLE`].
        pub(super) fn row(input: &Input<'_>) -> Row {
            [$($({ let $x = input; $value }),*),*]
        }
    };
    (@yes) => { true };
    (@no) => { false };
}

features! {
    Identity: {
    "protocol", "1", Categorical, yes, "Zeek proto",
        "IP protocol number; 255 for one that Zeek does not know."
        => |x| f32::from(x.conn.protocol);
    "src_port", "1", Categorical, no, "Zeek id.orig_p",
        "Port of the originator; for ICMP the type. Missing where unreadable."
        => |x| x.conn.source_port.map_or(f32::NAN, f32::from);
    "dst_port", "1", Categorical, yes, "Zeek id.resp_p",
        "Port of the responder: the service. Missing without ports."
        => |x| x.port(f32::from);
    "service", "1", Categorical, yes, "Zeek service",
        "Application protocol that Zeek recognised, by its number in a list; 0 for none, 255 for one that the list does not have."
        => |x| service::code(x.conn.service.as_deref());
    "service_class", "1", Categorical, yes, "this sensor",
        "Kind of service by protocol and port, as for flows."
        => |x| x.class();
    "src_local", "1", Linear, yes, "Zeek local_orig, RFC 1918",
        "1 if the site calls the originator its own, or its address is private."
        => |x| flag(Some(x.source_local()));
    "dst_local", "1", Linear, yes, "Zeek local_resp, RFC 1918",
        "1 if the site calls the responder its own, or its address is private or a group."
        => |x| flag(Some(x.destination_local()));
    "inbound", "1", Linear, yes, "this sensor",
        "1 if the originator is from outside and the responder from inside."
        => |x| flag(Some(!x.source_local() && x.destination_local()));
    "dst_group", "1", Linear, yes, "RFC 5771, RFC 4291",
        "1 if the responder is a multicast group or the IPv4 broadcast address."
        => |x| flag(Some(x.conn.is_announcement()));
    "dst_port_dynamic", "1", Linear, yes, "RFC 6335 §6",
        "1 if the responder port is above 32767. Missing without ports."
        => |x| x.port(|port| flag(Some(port > 32_767)));
    "tunnelled", "1", Linear, yes, "Zeek tunnel_parents",
        "Connections that this one was tunnelled in. Missing where the log does not say."
        => |x| x.conn.tunnel_parents.map_or(f32::NAN, |parents| parents as f32);
    }

    Volume: {
    "duration", "s", SignedLog, yes, "Zeek duration",
        "First to last packet. Missing where Zeek gives none: a single packet."
        => |x| x.seconds() as f32;
    "orig_packets", "packet", SignedLog, yes, "Zeek orig_pkts",
        "Packets of the originator."
        => |x| number(x.conn.orig.packets);
    "orig_bytes", "byte", SignedLog, yes, "Zeek orig_ip_bytes",
        "IP bytes of the originator."
        => |x| number(x.conn.orig.ip_bytes);
    "orig_payload", "byte", SignedLog, yes, "Zeek orig_bytes",
        "Payload bytes of the originator."
        => |x| number(x.conn.orig.bytes);
    "orig_bytes_per_packet", "byte", SignedLog, yes, "this sensor",
        "IP bytes of the originator over its packets. Missing if it sent nothing."
        => |x| ratio(x.conn.orig.ip_bytes, x.conn.orig.packets);
    "orig_payload_share", "1", Linear, yes, "this sensor",
        "Payload bytes of the originator over its IP bytes. Missing if it sent nothing."
        => |x| ratio(x.conn.orig.bytes, x.conn.orig.ip_bytes).min(1.0);
    "resp_packets", "packet", SignedLog, yes, "Zeek resp_pkts",
        "Packets of the responder."
        => |x| number(x.conn.resp.packets);
    "resp_bytes", "byte", SignedLog, yes, "Zeek resp_ip_bytes",
        "IP bytes of the responder."
        => |x| number(x.conn.resp.ip_bytes);
    "resp_payload", "byte", SignedLog, yes, "Zeek resp_bytes",
        "Payload bytes of the responder."
        => |x| number(x.conn.resp.bytes);
    "resp_bytes_per_packet", "byte", SignedLog, yes, "this sensor",
        "IP bytes of the responder over its packets. Missing if it sent nothing."
        => |x| ratio(x.conn.resp.ip_bytes, x.conn.resp.packets);
    "resp_payload_share", "1", Linear, yes, "this sensor",
        "Payload bytes of the responder over its IP bytes. Missing if it sent nothing."
        => |x| ratio(x.conn.resp.bytes, x.conn.resp.ip_bytes).min(1.0);
    "bytes_per_second", "byte/s", SignedLog, yes, "CICFlowMeter Flow Bytes/s",
        "IP bytes of both over duration. Missing without one."
        => |x| x.rate(sum(Input::bytes(&x.conn.orig), Input::bytes(&x.conn.resp)));
    "packets_per_second", "packet/s", SignedLog, no, "CICFlowMeter Flow Packets/s",
        "Packets of both over duration. Missing without one."
        => |x| x.rate(sum(x.conn.orig.packets, x.conn.resp.packets));
    "producer_consumer_ratio", "1", Linear, yes, "Bullard and Gerth, PCR (FloCon 2014)",
        "(originator - responder) / (originator + responder), payload bytes. Missing without payload."
        => |x| balance(x.conn.orig.bytes, x.conn.resp.bytes);
    "packet_balance", "1", Linear, yes, "this sensor",
        "(originator - responder) / (originator + responder), packets: 1 if nobody answered. Missing without packets."
        => |x| balance(x.conn.orig.packets, x.conn.resp.packets);
    "missed_bytes", "byte", SignedLog, no, "Zeek missed_bytes",
        "Bytes that did not reach Zeek."
        => |x| number(x.conn.missed_bytes);
    "missed_share", "1", Linear, no, "this sensor",
        "Missed bytes over payload bytes of both. Missing without payload."
        => |x| ratio(x.conn.missed_bytes, sum(x.conn.orig.bytes, x.conn.resp.bytes));
    }

    Protocol: {
    "conn_state", "1", Categorical, yes, "Zeek conn_state",
        "How the connection went, by its number: S0 0, S1 1, SF 2, REJ 3, S2 4, S3 5, RSTO 6, RSTR 7, RSTOS0 8, RSTRH 9, SH 10, SHR 11, OTH 12."
        => |x| x.state();
    "outcome", "1", Categorical, yes, "this sensor",
        "Protocol and state together: OTH is all that ICMP can be, and rare for TCP."
        => |x| x.outcome();
    "class_outcome", "1", Categorical, yes, "this sensor",
        "Kind of service, protocol and state together."
        => |x| x.class_outcome();
    "history_shape", "1", Categorical, yes, "Zeek history",
        "Which of S, H, A, D, F, R each side did, one bit each. Missing without history."
        => |x| x.shape();
    "history_length", "1", SignedLog, yes, "Zeek history",
        "Letters of the history. Missing without history."
        => |x| x.side(|history| f32::from(history.length));
    "history_turns", "1", SignedLog, yes, "Zeek history",
        "How often the side that speaks changed. Missing without history."
        => |x| x.side(|history| f32::from(history.turns));
    "history_flipped", "1", Linear, yes, "Zeek history",
        "1 if Zeek turned the connection round (^). Missing without history."
        => |x| x.side(|history| flag(Some(history.flipped)));
    "history_headless", "1", Linear, yes, "Zeek history",
        "1 if the first letter is the responder's. Missing without history."
        => |x| x.side(|history| flag(Some(history.begins_with_responder)));
    "handshake", "1", Linear, yes, "Zeek history",
        "1 if SYN and SYN-ACK were seen. Missing without history, or for other protocols than TCP."
        => |x| if x.conn.protocol == 6 { x.side(|history| bit(history.orig, did::SYN) * bit(history.resp, did::HANDSHAKE)) } else { f32::NAN };
    "orig_data", "1", Linear, yes, "Zeek history",
        "1 if the originator sent payload. Missing without history."
        => |x| x.side(|history| bit(history.orig, did::DATA));
    "resp_data", "1", Linear, yes, "Zeek history",
        "1 if the responder sent payload. Missing without history."
        => |x| x.side(|history| bit(history.resp, did::DATA));
    "ended_by_originator", "1", Linear, yes, "Zeek history",
        "1 if the first FIN or RST was the originator's, 0 the responder's. Missing if nobody ended it."
        => |x| match x.conn.history.and_then(|history| history.ender) { Some(ender) => flag(Some(ender == Ender::Originator)), None => f32::NAN };
    "orig_reset", "1", Linear, yes, "Zeek history",
        "1 if the originator sent RST. Missing without history."
        => |x| x.side(|history| bit(history.orig, did::RST));
    "resp_reset", "1", Linear, yes, "Zeek history",
        "1 if the responder sent RST. Missing without history."
        => |x| x.side(|history| bit(history.resp, did::RST));
    "odd_flags", "1", Linear, yes, "Zeek history",
        "1 if packets had flags that should not meet (I, Q). Missing without history."
        => |x| x.side(|history| bit(history.orig, did::INCONSISTENT | did::MULTI_FLAG).max(bit(history.resp, did::INCONSISTENT | did::MULTI_FLAG)));
    "retransmissions", "1", Linear, no, "Zeek history",
        "Letters that came again, in powers of ten. Missing without history."
        => |x| x.side(|history| f32::from(history.orig.again + history.resp.again));
    "unanswered", "1", Linear, yes, "this sensor",
        "1 if the responder sent nothing. Missing for groups, which do not answer."
        => |x| flag((!x.conn.is_announcement()).then(|| !x.conn.is_answered()));
    "failed", "1", Linear, yes, "this sensor",
        "1 if a TCP connection was not answered, rejected, or never got beyond its handshake."
        => |x| flag(Some(x.conn.protocol == 6 && !x.conn.is_served()));
    "dns_name_length", "byte", SignedLog, yes, "Zeek dns.log query",
        "Longest name asked for. Missing without dns.log."
        => |x| x.conn.application.dns_name_length.unwrap_or(f32::NAN);
    "dns_name_entropy", "1", Linear, yes, "Zeek dns.log query",
        "Bits a character of it. Missing without dns.log."
        => |x| x.conn.application.dns_name_entropy.unwrap_or(f32::NAN);
    "dns_failed", "1", SignedLog, yes, "Zeek dns.log rcode_name",
        "Questions not answered with NOERROR. Missing without dns.log."
        => |x| x.conn.application.dns_failed.unwrap_or(f32::NAN);
    "http_requests", "1", SignedLog, yes, "Zeek http.log",
        "Requests. Missing without http.log."
        => |x| x.conn.application.http_requests.unwrap_or(f32::NAN);
    "http_failed", "1", SignedLog, yes, "Zeek http.log status_code",
        "Requests answered with 400 or above. Missing without http.log."
        => |x| x.conn.application.http_failed.unwrap_or(f32::NAN);
    "ssl_named", "1", Linear, yes, "Zeek ssl.log server_name",
        "1 if the client named the server. Missing without ssl.log."
        => |x| x.conn.application.ssl_named.unwrap_or(f32::NAN);
    "ssl_established", "1", Linear, yes, "Zeek ssl.log established",
        "1 if the handshake came to its end. Missing without ssl.log."
        => |x| x.conn.application.ssl_established.unwrap_or(f32::NAN);
    }

    Calendar: {
    "day_sin", "1", Linear, no, "time of day, UTC",
        "Sine of the time of day, 0 at midnight."
        => |x| day(x.conn.start).0;
    "day_cos", "1", Linear, no, "time of day, UTC",
        "Cosine of the time of day, 0 at midnight."
        => |x| day(x.conn.start).1;
    "week_sin", "1", Linear, no, "time of week, UTC",
        "Sine of the time of the week, 0 at midnight before Monday."
        => |x| week(x.conn.start).0;
    "week_cos", "1", Linear, no, "time of week, UTC",
        "Cosine of the time of the week, 0 at midnight before Monday."
        => |x| week(x.conn.start).1;
    }

    Source: {
    "src_flows_10s", "flow", SignedLog, yes, "this sensor",
        "Connections of the originator in this role, in 10 s."
        => |x| x.source(|host| host.window(TenSeconds).flows);
    "src_peers_10s", "host", SignedLog, yes, "this sensor",
        "Distinct addresses on the other side, in 10 s."
        => |x| x.source(|host| host.window(TenSeconds).peers);
    "src_ports_10s", "service", SignedLog, yes, "this sensor",
        "Distinct services, in 10 s."
        => |x| x.source(|host| host.window(TenSeconds).ports);
    "src_failed_share_10s", "1", Linear, yes, "this sensor",
        "Share that got no answer or a rejection, in 10 s."
        => |x| x.source(|host| host.window(TenSeconds).failed_share);
    "src_half_open_share_10s", "1", Linear, yes, "this sensor",
        "Share of the TCP attempts whose handshake was never completed (missing for other protocols), in 10 s."
        => |x| x.if_tcp(x.source(|host| host.window(TenSeconds).half_open_share));
    "src_bytes_sent_10s", "byte", SignedLog, no, "this sensor",
        "IP bytes sent by the originator, in 10 s."
        => |x| x.source(|host| host.window(TenSeconds).bytes_sent);
    "src_bytes_received_10s", "byte", SignedLog, no, "this sensor",
        "IP bytes sent to the originator, in 10 s."
        => |x| x.source(|host| host.window(TenSeconds).bytes_received);
    "src_flows_60s", "flow", SignedLog, yes, "this sensor",
        "Connections of the originator in this role, in 60 s."
        => |x| x.source(|host| host.window(Minute).flows);
    "src_peers_60s", "host", SignedLog, yes, "this sensor",
        "Distinct addresses on the other side, in 60 s."
        => |x| x.source(|host| host.window(Minute).peers);
    "src_ports_60s", "service", SignedLog, yes, "this sensor",
        "Distinct services, in 60 s."
        => |x| x.source(|host| host.window(Minute).ports);
    "src_failed_share_60s", "1", Linear, yes, "this sensor",
        "Share that got no answer or a rejection, in 60 s."
        => |x| x.source(|host| host.window(Minute).failed_share);
    "src_half_open_share_60s", "1", Linear, yes, "this sensor",
        "Share of the TCP attempts whose handshake was never completed (missing for other protocols), in 60 s."
        => |x| x.if_tcp(x.source(|host| host.window(Minute).half_open_share));
    "src_bytes_sent_60s", "byte", SignedLog, no, "this sensor",
        "IP bytes sent by the originator, in 60 s."
        => |x| x.source(|host| host.window(Minute).bytes_sent);
    "src_bytes_received_60s", "byte", SignedLog, no, "this sensor",
        "IP bytes sent to the originator, in 60 s."
        => |x| x.source(|host| host.window(Minute).bytes_received);
    "src_flows_600s", "flow", SignedLog, yes, "this sensor",
        "Connections of the originator in this role, in 10 min."
        => |x| x.source(|host| host.window(TenMinutes).flows);
    "src_peers_600s", "host", SignedLog, yes, "this sensor",
        "Distinct addresses on the other side, in 10 min."
        => |x| x.source(|host| host.window(TenMinutes).peers);
    "src_ports_600s", "service", SignedLog, yes, "this sensor",
        "Distinct services, in 10 min."
        => |x| x.source(|host| host.window(TenMinutes).ports);
    "src_failed_share_600s", "1", Linear, yes, "this sensor",
        "Share that got no answer or a rejection, in 10 min."
        => |x| x.source(|host| host.window(TenMinutes).failed_share);
    "src_half_open_share_600s", "1", Linear, yes, "this sensor",
        "Share of the TCP attempts whose handshake was never completed (missing for other protocols), in 10 min."
        => |x| x.if_tcp(x.source(|host| host.window(TenMinutes).half_open_share));
    "src_bytes_sent_600s", "byte", SignedLog, no, "this sensor",
        "IP bytes sent by the originator, in 10 min."
        => |x| x.source(|host| host.window(TenMinutes).bytes_sent);
    "src_bytes_received_600s", "byte", SignedLog, no, "this sensor",
        "IP bytes sent to the originator, in 10 min."
        => |x| x.source(|host| host.window(TenMinutes).bytes_received);
    "src_same_service_share", "1", Linear, yes, "this sensor",
        "Share of its connections in 10 min that go to the same kind of service."
        => |x| x.source(|host| host.same_service_share);
    "src_service_diversity", "1", Linear, yes, "this sensor",
        "Gini index of the kinds of service in 10 min."
        => |x| x.source(|host| host.service_diversity);
    "src_answers", "flow", SignedLog, yes, "this sensor",
        "Earlier connections of the originator that were answered."
        => |x| x.past.source_answers;
    "src_answered_share", "1", Linear, yes, "this sensor",
        "Their share of all it began. Missing for the first."
        => |x| x.past.source_answered_share;
    }

    Destination: {
    "dst_flows_10s", "flow", SignedLog, yes, "this sensor",
        "Connections of the responder in this role, in 10 s."
        => |x| x.destination(|host| host.window(TenSeconds).flows);
    "dst_peers_10s", "host", SignedLog, yes, "this sensor",
        "Distinct addresses on the other side, in 10 s."
        => |x| x.destination(|host| host.window(TenSeconds).peers);
    "dst_ports_10s", "service", SignedLog, yes, "this sensor",
        "Distinct services, in 10 s."
        => |x| x.destination(|host| host.window(TenSeconds).ports);
    "dst_failed_share_10s", "1", Linear, yes, "this sensor",
        "Share that got no answer or a rejection, in 10 s."
        => |x| x.destination(|host| host.window(TenSeconds).failed_share);
    "dst_half_open_share_10s", "1", Linear, yes, "this sensor",
        "Share of the TCP attempts whose handshake was never completed (missing for other protocols), in 10 s."
        => |x| x.if_tcp(x.destination(|host| host.window(TenSeconds).half_open_share));
    "dst_bytes_sent_10s", "byte", SignedLog, no, "this sensor",
        "IP bytes sent by the responder, in 10 s."
        => |x| x.destination(|host| host.window(TenSeconds).bytes_sent);
    "dst_bytes_received_10s", "byte", SignedLog, no, "this sensor",
        "IP bytes sent to the responder, in 10 s."
        => |x| x.destination(|host| host.window(TenSeconds).bytes_received);
    "dst_flows_60s", "flow", SignedLog, yes, "this sensor",
        "Connections of the responder in this role, in 60 s."
        => |x| x.destination(|host| host.window(Minute).flows);
    "dst_peers_60s", "host", SignedLog, yes, "this sensor",
        "Distinct addresses on the other side, in 60 s."
        => |x| x.destination(|host| host.window(Minute).peers);
    "dst_ports_60s", "service", SignedLog, yes, "this sensor",
        "Distinct services, in 60 s."
        => |x| x.destination(|host| host.window(Minute).ports);
    "dst_failed_share_60s", "1", Linear, yes, "this sensor",
        "Share that got no answer or a rejection, in 60 s."
        => |x| x.destination(|host| host.window(Minute).failed_share);
    "dst_half_open_share_60s", "1", Linear, yes, "this sensor",
        "Share of the TCP attempts whose handshake was never completed (missing for other protocols), in 60 s."
        => |x| x.if_tcp(x.destination(|host| host.window(Minute).half_open_share));
    "dst_bytes_sent_60s", "byte", SignedLog, no, "this sensor",
        "IP bytes sent by the responder, in 60 s."
        => |x| x.destination(|host| host.window(Minute).bytes_sent);
    "dst_bytes_received_60s", "byte", SignedLog, no, "this sensor",
        "IP bytes sent to the responder, in 60 s."
        => |x| x.destination(|host| host.window(Minute).bytes_received);
    "dst_flows_600s", "flow", SignedLog, yes, "this sensor",
        "Connections of the responder in this role, in 10 min."
        => |x| x.destination(|host| host.window(TenMinutes).flows);
    "dst_peers_600s", "host", SignedLog, yes, "this sensor",
        "Distinct addresses on the other side, in 10 min."
        => |x| x.destination(|host| host.window(TenMinutes).peers);
    "dst_ports_600s", "service", SignedLog, yes, "this sensor",
        "Distinct services, in 10 min."
        => |x| x.destination(|host| host.window(TenMinutes).ports);
    "dst_failed_share_600s", "1", Linear, yes, "this sensor",
        "Share that got no answer or a rejection, in 10 min."
        => |x| x.destination(|host| host.window(TenMinutes).failed_share);
    "dst_half_open_share_600s", "1", Linear, yes, "this sensor",
        "Share of the TCP attempts whose handshake was never completed (missing for other protocols), in 10 min."
        => |x| x.if_tcp(x.destination(|host| host.window(TenMinutes).half_open_share));
    "dst_bytes_sent_600s", "byte", SignedLog, no, "this sensor",
        "IP bytes sent by the responder, in 10 min."
        => |x| x.destination(|host| host.window(TenMinutes).bytes_sent);
    "dst_bytes_received_600s", "byte", SignedLog, no, "this sensor",
        "IP bytes sent to the responder, in 10 min."
        => |x| x.destination(|host| host.window(TenMinutes).bytes_received);
    "dst_same_service_share", "1", Linear, yes, "this sensor",
        "Share of its connections in 10 min that go to the same kind of service."
        => |x| x.destination(|host| host.same_service_share);
    "dst_service_diversity", "1", Linear, yes, "this sensor",
        "Gini index of the kinds of service in 10 min."
        => |x| x.destination(|host| host.service_diversity);
    "dst_answers", "flow", SignedLog, yes, "this sensor",
        "Earlier connections that the responder answered."
        => |x| x.past.destination_answers;
    "dst_asks", "flow", SignedLog, yes, "this sensor",
        "Earlier connections that the responder began itself: it is a client."
        => |x| x.past.destination_asks;
    }

    Conversation: {
    "pair_flows", "flow", SignedLog, yes, "this sensor",
        "Connections of these two about this service so far, this one included."
        => |x| x.conversation(|pair| pair.flows);
    "pair_age", "s", SignedLog, yes, "this sensor",
        "From the first of them to this one."
        => |x| x.conversation(|pair| pair.age);
    "pair_gap_mean", "s", SignedLog, yes, "this sensor",
        "Mean time between their starts. Missing below two."
        => |x| x.conversation(|pair| pair.gap_mean);
    "pair_gap_variation", "1", SignedLog, yes, "this sensor",
        "Standard deviation over mean of the time between starts: near 0 for a beacon. Missing below three."
        => |x| x.conversation(|pair| pair.gap_variation);
    "pair_last_gap", "s", SignedLog, yes, "this sensor",
        "Time between the last two starts. Missing below two."
        => |x| x.conversation(|pair| pair.last_gap);
    "pair_answers", "flow", SignedLog, yes, "this sensor",
        "Earlier ones that were answered."
        => |x| x.past.pair_answers;
    "pair_unanswered", "flow", SignedLog, yes, "this sensor",
        "Earlier ones since the last answer."
        => |x| x.past.pair_unanswered;
    "service_answers", "flow", SignedLog, yes, "this sensor",
        "Earlier connections to this service, anywhere here, that were answered."
        => |x| x.past.service_answers;
    "service_answered_share", "1", Linear, yes, "this sensor",
        "Their share of all to this service. Missing for the first."
        => |x| x.past.service_answered_share;
    "orig_bytes_off", "1", SignedLog, yes, "this sensor",
        "Originator's IP bytes against this service's own here: standard deviations of the logarithm. Missing before ten answers."
        => |x| x.past.orig_bytes_off;
    "resp_bytes_off", "1", SignedLog, yes, "this sensor",
        "The same of the responder's."
        => |x| x.past.resp_bytes_off;
    "duration_off", "1", SignedLog, yes, "this sensor",
        "The same of the duration."
        => |x| x.past.duration_off;
    }

}
