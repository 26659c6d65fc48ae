//! The declared table of features: one entry each, from which schema, CSV header, documentation and extraction follow.
//!
//! An entry reads: name, unit, axis, whether the model sees it, where the definition comes from, what it is, and the
//! expression that computes it from the flow `x`. Those of host logs are missing until a join fills them in.
//!
//! Axes compete by their length: a forest that picks features by range sees a factor of 1000 in bytes as 7 and a share
//! as 1. So whatever can grow is logarithmic (a TTL too: linear, its 255 drowned everything else), and what repeats
//! another column (totals beside their two directions) is left to people: each repetition is a vote.

use sensor_ebpf::flow::{seen, tcp_flag};

use super::{
    Family::*,
    Feature, Row,
    Transform::*,
    input::{Input, flag, known, ratio},
};
use crate::{
    context::Window::*,
    flow::{is_group, is_private, v4},
};

macro_rules! features {
    ($($family:ident: { $(
        $name:literal, $unit:literal, $transform:ident, $model:ident, $source:literal,
        $about:literal
        => |$x:ident| $value:expr;
    )* })*) => {
        /// Number of features.
        pub const COUNT: usize = [$($($name),*),*].len();

        /// Every feature, in the order of [`Row`] and of the CSV columns.
        pub const TABLE: [Feature; COUNT] = [$($(Feature {
            name: $name,
            unit: $unit,
            family: $family,
            transform: $transform,
            model: features!(@$model),
            aside: features!(@@$model),
            source: $source,
            about: $about,
        }),*),*];

        /// Puts every value into `row`, in the order of [`TABLE`]; without `CONTEXT`, those that the flow alone tells.
        #[inline(always)]
        pub(super) fn fill<const CONTEXT: bool>(input: &Input<'_>, row: &mut Row) {
            let mut at = 0;
            $(
                let told = CONTEXT || !matches!($family, Source | Destination | Conversation);
                $(
                    if told {
                        row[at] = { let $x = input; $value };
                    }
                    at += 1;
                )*
            )*
            debug_assert_eq!(at, COUNT);
        }
    };
    (@no) => { false };
    (@$seen:ident) => { true };
    (@@aside) => { true };
    (@@$other:ident) => { false };
}

features! {
    Identity: {
    "protocol", "1", Categorical, yes, "IPFIX IE 4 protocolIdentifier",
        "IP protocol number, after IPv6 extension headers. Missing for ARP; models are not asked about such flows."
        => |x| known(!x.record.key.is_arp(), f32::from(x.record.key.protocol));
    "src_port", "1", Categorical, no, "IPFIX IE 7 sourceTransportPort",
        "Port of the originator. Missing without ports."
        => |x| known(x.has_ports(), f32::from(x.record.source_port()));
    "dst_port", "1", Categorical, yes, "IPFIX IE 11 destinationTransportPort",
        "Port of the responder: the service. Missing without ports."
        => |x| known(x.has_ports(), f32::from(x.record.destination_port()));
    "service_class", "1", Categorical, yes, "this sensor",
        "Kind of service by protocol and responder port: 0 web, 1 names, 2 remote control, 3 files and mail, 4 inside (directory, database), 5 operation (time, DHCP, ICMP), 6 other system port, 7 other. Missing for later fragments."
        => |x| x.class();
    "icmp_type", "1", Categorical, yes, "IPFIX IE 176 icmpTypeIPv4, 178 icmpTypeIPv6",
        "ICMP or ICMPv6 type of the originator. Missing for other protocols."
        => |x| known(matches!(x.record.key.protocol, 1 | 58) && x.record.key.is_whole(), f32::from(x.record.source_port()));
    "ip_version", "1", Linear, no, "IPFIX IE 60 ipVersion",
        "4 or 6."
        => |x| if v4(&x.record.key.addresses[0]).is_some() { 4.0 } else { 6.0 };
    "vlan", "1", Categorical, no, "IPFIX IE 58 vlanId",
        "VLAN id of the first tagged packet (outer tag). Missing without tag."
        => |x| known(x.record.counters.vlan != 0, f32::from(x.record.counters.vlan));
    "later_fragment", "1", Linear, yes, "RFC 791, RFC 8200",
        "1 for later IP fragments, whose ports are unknown."
        => |x| flag(x.record.key.is_later_fragment());
    "src_private", "1", Linear, yes, "RFC 1918, RFC 4193",
        "1 if the originator has a private, link-local or loopback address."
        => |x| flag(is_private(&x.record.key.addresses[x.record.originator]));
    "dst_private", "1", Linear, yes, "RFC 1918, RFC 4193",
        "1 if the responder has a private, link-local or loopback address."
        => |x| flag(is_private(&x.record.key.addresses[x.record.responder()]));
    "dst_group", "1", Linear, yes, "RFC 5771, RFC 4291",
        "1 if the responder is a multicast group or the IPv4 broadcast address."
        => |x| flag(is_group(&x.record.key.addresses[x.record.responder()]));
    "src_port_dynamic", "1", Linear, yes, "RFC 6335 §6",
        "1 if the originator port is above 32767, where systems pick ports for clients. Missing without ports."
        => |x| known(x.has_ports(), flag(x.record.source_port() > 32_767));
    "dst_port_system", "1", Linear, yes, "RFC 6335 §6",
        "1 if the responder port is below 1024. Missing without ports."
        => |x| known(x.has_ports(), flag(x.record.destination_port() < 1_024));
    "dst_port_dynamic", "1", Linear, yes, "RFC 6335 §6",
        "1 if the responder port is above 32767. Missing without ports."
        => |x| known(x.has_ports(), flag(x.record.destination_port() > 32_767));
    "port_http", "1", Linear, no, "IANA service names",
        "1 if the responder port is that of HTTP (80, 8000, 8008, 8080, 8081, 8888). Missing without ports."
        => |x| x.service(&[80, 8000, 8008, 8080, 8081, 8888]);
    "port_https", "1", Linear, no, "IANA service names",
        "1 if the responder port is that of HTTPS or QUIC (443, 8443). Missing without ports."
        => |x| x.service(&[443, 8443]);
    "port_ssh", "1", Linear, no, "IANA service names",
        "1 if the responder port is that of SSH (22, 2222). Missing without ports."
        => |x| x.service(&[22, 2222]);
    "port_dns", "1", Linear, no, "IANA service names",
        "1 if the responder port is that of DNS (53, 853). Missing without ports."
        => |x| x.service(&[53, 853]);
    "port_telnet", "1", Linear, no, "IANA service names",
        "1 if the responder port is that of telnet (23, 2323). Missing without ports."
        => |x| x.service(&[23, 2323]);
    "port_ftp", "1", Linear, no, "IANA service names",
        "1 if the responder port is that of FTP (20, 21). Missing without ports."
        => |x| x.service(&[20, 21]);
    "port_mail", "1", Linear, no, "IANA service names",
        "1 if the responder port is that of a mail protocol (25, 110, 143, 465, 587, 993, 995). Missing without ports."
        => |x| x.service(&[25, 110, 143, 465, 587, 993, 995]);
    "port_smb", "1", Linear, no, "IANA service names",
        "1 if the responder port is that of SMB (139, 445). Missing without ports."
        => |x| x.service(&[139, 445]);
    "port_rdp", "1", Linear, no, "IANA service names",
        "1 if the responder port is that of RDP (3389). Missing without ports."
        => |x| x.service(&[3389]);
    "port_ntp", "1", Linear, no, "IANA service names",
        "1 if the responder port is that of NTP (123). Missing without ports."
        => |x| x.service(&[123]);
    "port_dhcp", "1", Linear, no, "IANA service names",
        "1 if the responder port is that of DHCP (67, 68, 546, 547). Missing without ports."
        => |x| x.service(&[67, 68, 546, 547]);
    "port_snmp", "1", Linear, no, "IANA service names",
        "1 if the responder port is that of SNMP (161, 162). Missing without ports."
        => |x| x.service(&[161, 162]);
    "port_database", "1", Linear, no, "IANA service names",
        "1 if the responder port is that of a database (1433, 1521, 3306, 5432, 6379, 27017). Missing without ports."
        => |x| x.service(&[1433, 1521, 3306, 5432, 6379, 27_017]);
    }

    Volume: {
    "duration", "s", Time, yes, "Zeek duration",
        "First to last packet."
        => |x| x.duration as f32;
    "packets", "packet", SignedLog, no, "IPFIX IE 2 packetDeltaCount",
        "Packets of both directions."
        => |x| x.both.packets as f32;
    "bytes", "byte", SignedLog, no, "IPFIX IE 1 octetDeltaCount",
        "IP bytes of both directions."
        => |x| x.both.bytes as f32;
    "orig_packets", "packet", SignedLog, yes, "Zeek orig_pkts",
        "Packets the originator sent."
        => |x| x.orig.packets as f32;
    "orig_bytes", "byte", SignedLog, yes, "Zeek orig_ip_bytes",
        "IP bytes the originator sent."
        => |x| x.orig.bytes as f32;
    "orig_payload", "byte", SignedLog, no, "Zeek orig_bytes",
        "Bytes behind the transport header the originator sent."
        => |x| x.orig.payload as f32;
    "resp_packets", "packet", SignedLog, yes, "Zeek resp_pkts",
        "Packets the responder sent."
        => |x| x.resp.packets as f32;
    "resp_bytes", "byte", SignedLog, yes, "Zeek resp_ip_bytes",
        "IP bytes the responder sent."
        => |x| x.resp.bytes as f32;
    "resp_payload", "byte", SignedLog, no, "Zeek resp_bytes",
        "Bytes behind the transport header the responder sent."
        => |x| x.resp.payload as f32;
    "packets_per_second", "packet/s", SignedLog, no, "CICFlowMeter Flow Packets/s",
        "Packets over duration, in whole quarters of a millisecond and at least one. Missing below two packets."
        => |x| x.per_second(x.both.packets);
    "bytes_per_second", "byte/s", SignedLog, yes, "CICFlowMeter Flow Bytes/s",
        "IP bytes over duration, likewise. Missing below two packets."
        => |x| x.per_second(x.both.bytes);
    "orig_packets_per_second", "packet/s", SignedLog, no, "CICFlowMeter Fwd/Bwd Packets/s",
        "Packets of the originator over the duration of the flow, likewise. Missing below two packets."
        => |x| x.per_second(x.orig.packets);
    "orig_bytes_per_second", "byte/s", SignedLog, no, "CICFlowMeter",
        "IP bytes of the originator over the duration of the flow, likewise. Missing below two packets."
        => |x| x.per_second(x.orig.bytes);
    "resp_packets_per_second", "packet/s", SignedLog, no, "CICFlowMeter Fwd/Bwd Packets/s",
        "Packets of the responder over the duration of the flow, likewise. Missing below two packets."
        => |x| x.per_second(x.resp.packets);
    "resp_bytes_per_second", "byte/s", SignedLog, no, "CICFlowMeter",
        "IP bytes of the responder over the duration of the flow, likewise. Missing below two packets."
        => |x| x.per_second(x.resp.bytes);
    "down_up_ratio", "1", SignedLog, yes, "CICFlowMeter Down/Up Ratio",
        "IP bytes of the responder over those of the originator. Missing without originator packets."
        => |x| ratio(x.resp.bytes, x.orig.bytes);
    "producer_consumer_ratio", "1", Linear, yes, "Bullard and Gerth, PCR (FloCon 2014)",
        "(originator - responder) / (originator + responder), payload bytes: 1 all sent, -1 all fetched. Missing without payload."
        => |x| ratio(x.orig.payload - x.resp.payload, x.both.payload);
    "orig_packet_share", "1", Linear, yes, "this sensor",
        "Share of the packets that the originator sent."
        => |x| ratio(x.orig.packets, x.both.packets);
    "payload_share", "1", Linear, yes, "this sensor",
        "Payload bytes over IP bytes."
        => |x| ratio(x.both.payload, x.both.bytes);
    "orig_payload_share", "1", Linear, no, "this sensor",
        "Payload bytes over IP bytes of the originator. Missing if it sent nothing."
        => |x| ratio(x.orig.payload, x.orig.bytes);
    "resp_payload_share", "1", Linear, no, "this sensor",
        "Payload bytes over IP bytes of the responder. Missing if it sent nothing."
        => |x| ratio(x.resp.payload, x.resp.bytes);
    }

    Length: {
    "length_min", "byte", SignedLog, no, "CICFlowMeter Packet Length Min",
        "Shortest IP packet of both directions."
        => |x| x.both.length_min();
    "length_max", "byte", SignedLog, no, "CICFlowMeter Packet Length Max",
        "Longest IP packet of both directions."
        => |x| x.both.length_max();
    "length_mean", "byte", SignedLog, no, "CICFlowMeter Packet Length Mean",
        "Mean IP length of packets of both directions."
        => |x| x.both.length_mean();
    "length_std", "byte", SignedLog, no, "CICFlowMeter Packet Length Std",
        "Standard deviation (population) of the IP lengths of both directions."
        => |x| x.both.length_deviation();
    "orig_length_min", "byte", SignedLog, yes, "CICFlowMeter Packet Length Min",
        "Shortest IP packet of the originator. Missing if it sent nothing."
        => |x| x.orig.length_min();
    "orig_length_max", "byte", SignedLog, yes, "CICFlowMeter Packet Length Max",
        "Longest IP packet of the originator. Missing if it sent nothing."
        => |x| x.orig.length_max();
    "orig_length_mean", "byte", SignedLog, yes, "CICFlowMeter Packet Length Mean",
        "Mean IP length of packets of the originator. Missing if it sent nothing."
        => |x| x.orig.length_mean();
    "orig_length_std", "byte", SignedLog, yes, "CICFlowMeter Packet Length Std",
        "Standard deviation (population) of the IP lengths of the originator. Missing if it sent nothing."
        => |x| x.orig.length_deviation();
    "resp_length_min", "byte", SignedLog, yes, "CICFlowMeter Packet Length Min",
        "Shortest IP packet of the responder. Missing if it sent nothing."
        => |x| x.resp.length_min();
    "resp_length_max", "byte", SignedLog, yes, "CICFlowMeter Packet Length Max",
        "Longest IP packet of the responder. Missing if it sent nothing."
        => |x| x.resp.length_max();
    "resp_length_mean", "byte", SignedLog, yes, "CICFlowMeter Packet Length Mean",
        "Mean IP length of packets of the responder. Missing if it sent nothing."
        => |x| x.resp.length_mean();
    "resp_length_std", "byte", SignedLog, yes, "CICFlowMeter Packet Length Std",
        "Standard deviation (population) of the IP lengths of the responder. Missing if it sent nothing."
        => |x| x.resp.length_deviation();
    "small_packet_share", "1", Linear, yes, "this sensor",
        "Share of packets of at most 100 IP bytes: acknowledgements, probes."
        => |x| ratio(x.both.small, x.both.packets);
    "orig_small_packet_share", "1", Linear, no, "this sensor",
        "The same for the originator. Missing if it sent nothing."
        => |x| ratio(x.orig.small, x.orig.packets);
    "resp_small_packet_share", "1", Linear, no, "this sensor",
        "The same for the responder. Missing if it sent nothing."
        => |x| ratio(x.resp.small, x.resp.packets);
    }

    Timing: {
    "gap_min", "s", Time, no, "CICFlowMeter IAT Min",
        "Shortest time between packets of both directions. Missing below two packets."
        => |x| x.both.gap_min();
    "gap_max", "s", Time, yes, "CICFlowMeter IAT Max",
        "Longest time between packets of both directions. Missing below two packets."
        => |x| x.both.gap_max();
    "gap_mean", "s", Time, yes, "CICFlowMeter IAT Mean",
        "Mean time between packets of both directions. Missing below two packets."
        => |x| x.both.gap_mean();
    "gap_std", "s", Time, yes, "CICFlowMeter IAT Std",
        "Standard deviation (population) of the time between packets of both directions. Missing below two packets."
        => |x| x.both.gap_deviation();
    "orig_gap_min", "s", Time, no, "CICFlowMeter IAT Min",
        "Shortest time between packets of the originator. Missing below two packets."
        => |x| x.orig.gap_min();
    "orig_gap_max", "s", Time, no, "CICFlowMeter IAT Max",
        "Longest time between packets of the originator. Missing below two packets."
        => |x| x.orig.gap_max();
    "orig_gap_mean", "s", Time, no, "CICFlowMeter IAT Mean",
        "Mean time between packets of the originator. Missing below two packets."
        => |x| x.orig.gap_mean();
    "orig_gap_std", "s", Time, no, "CICFlowMeter IAT Std",
        "Standard deviation (population) of the time between packets of the originator. Missing below two packets."
        => |x| x.orig.gap_deviation();
    "resp_gap_min", "s", Time, no, "CICFlowMeter IAT Min",
        "Shortest time between packets of the responder. Missing below two packets."
        => |x| x.resp.gap_min();
    "resp_gap_max", "s", Time, no, "CICFlowMeter IAT Max",
        "Longest time between packets of the responder. Missing below two packets."
        => |x| x.resp.gap_max();
    "resp_gap_mean", "s", Time, no, "CICFlowMeter IAT Mean",
        "Mean time between packets of the responder. Missing below two packets."
        => |x| x.resp.gap_mean();
    "resp_gap_std", "s", Time, no, "CICFlowMeter IAT Std",
        "Standard deviation (population) of the time between packets of the responder. Missing below two packets."
        => |x| x.resp.gap_deviation();
    "gap_variation", "1", SignedLog, yes, "coefficient of variation",
        "Standard deviation over mean of the time between packets, in whole quarters of a millisecond and the mean at least one: 0 for a metronome, 1 at random, more for bursts. Missing below two packets."
        => |x| x.both.gap_variation();
    "answer_delay", "s", Time, yes, "Argus synack, generalised",
        "From the first packet of the originator to the first of the responder. Missing without answer."
        => |x| x.answer_delay();
    }

    Protocol: {
    "flag_fin", "packet", SignedLog, yes, "CICFlowMeter FIN Flag Count",
        "Packets with FIN, both directions. Missing for other protocols than TCP."
        => |x| x.flags(tcp_flag::FIN);
    "flag_syn", "packet", SignedLog, yes, "CICFlowMeter SYN Flag Count",
        "Packets with SYN, both directions. Missing for other protocols than TCP."
        => |x| x.flags(tcp_flag::SYN);
    "flag_rst", "packet", SignedLog, yes, "CICFlowMeter RST Flag Count",
        "Packets with RST, both directions. Missing for other protocols than TCP."
        => |x| x.flags(tcp_flag::RST);
    "flag_psh", "packet", SignedLog, yes, "CICFlowMeter PSH Flag Count",
        "Packets with PSH, both directions. Missing for other protocols than TCP."
        => |x| x.flags(tcp_flag::PSH);
    "flag_ack", "packet", SignedLog, no, "CICFlowMeter ACK Flag Count",
        "Packets with ACK, both directions. Missing for other protocols than TCP."
        => |x| x.flags(tcp_flag::ACK);
    "flag_urg", "packet", SignedLog, yes, "CICFlowMeter URG Flag Count",
        "Packets with URG, both directions. Missing for other protocols than TCP."
        => |x| x.flags(tcp_flag::URG);
    "flag_ece", "packet", SignedLog, no, "CICFlowMeter ECE Flag Count",
        "Packets with ECE, both directions. Missing for other protocols than TCP."
        => |x| x.flags(tcp_flag::ECE);
    "flag_cwr", "packet", SignedLog, no, "CICFlowMeter CWR Flag Count",
        "Packets with CWR, both directions. Missing for other protocols than TCP."
        => |x| x.flags(tcp_flag::CWR);
    "syn_share", "1", Linear, yes, "this sensor",
        "Share of the packets that carry SYN. Missing for other protocols than TCP."
        => |x| x.flag_share(tcp_flag::SYN);
    "rst_share", "1", Linear, yes, "this sensor",
        "Share of the packets that carry RST. Missing for other protocols than TCP."
        => |x| x.flag_share(tcp_flag::RST);
    "odd_flags", "1", Linear, yes, "Zeek history 'i'",
        "1 if a side sent flags that do not go together (SYN with FIN or RST, none at all). Missing for other protocols than TCP."
        => |x| known(x.tcp, flag(x.orig.seen(seen::INCONSISTENT) || x.resp.seen(seen::INCONSISTENT)));
    "zero_window", "1", Linear, yes, "Zeek history 'w'",
        "1 if a side announced a full receive buffer. Missing for other protocols than TCP."
        => |x| known(x.tcp, flag(x.orig.seen(seen::ZERO_WINDOW) || x.resp.seen(seen::ZERO_WINDOW)));
    "conn_state", "1", Categorical, yes, "Zeek conn_state",
        "State in the order S0 S1 SF REJ S2 S3 RSTO RSTR RSTOS0 RSTRH SH SHR OTH, from 0. Missing for protocols without."
        => |x| x.conn_state();
    "unanswered", "1", Linear, yes, "Zeek S0",
        "1 if the originator asked (for TCP: with SYN) and nothing came back."
        => |x| flag(x.unanswered());
    "orig_window", "byte", SignedLog, yes, "CICFlowMeter FWD Init Win Bytes",
        "TCP window in the first packet of the originator, unscaled. Missing for other protocols."
        => |x| known(x.tcp, x.orig.with_half(|half| f32::from(half.first_window)));
    "resp_window", "byte", SignedLog, yes, "CICFlowMeter Bwd Init Win Bytes",
        "TCP window in the first packet of the responder, unscaled. Missing for other protocols and without answer."
        => |x| known(x.tcp, x.resp.with_half(|half| f32::from(half.first_window)));
    "orig_ttl_min", "hop", SignedLog, yes, "IPFIX IE 52 minimumTTL",
        "Smallest TTL or hop limit of the originator. Missing if it sent nothing."
        => |x| x.orig.with_half(|half| f32::from(half.ttl_min));
    "orig_ttl_max", "hop", SignedLog, no, "IPFIX IE 53 maximumTTL",
        "Largest TTL or hop limit of the originator. Missing if it sent nothing."
        => |x| x.orig.with_half(|half| f32::from(half.ttl_max));
    "resp_ttl_min", "hop", SignedLog, yes, "IPFIX IE 52 minimumTTL",
        "Smallest TTL or hop limit of the responder. Missing if it sent nothing."
        => |x| x.resp.with_half(|half| f32::from(half.ttl_min));
    "resp_ttl_max", "hop", SignedLog, no, "IPFIX IE 53 maximumTTL",
        "Largest TTL or hop limit of the responder. Missing if it sent nothing."
        => |x| x.resp.with_half(|half| f32::from(half.ttl_max));
    }

    Calendar: {
    "hour_sin", "1", Linear, no, "cyclic coding",
        "Sine of the time of day (UTC) at the first packet."
        => |x| x.day.0;
    "hour_cos", "1", Linear, no, "cyclic coding",
        "Cosine of the time of day (UTC) at the first packet."
        => |x| x.day.1;
    "weekday_sin", "1", Linear, no, "cyclic coding",
        "Sine of the time of the week (UTC, from Monday) at the first packet."
        => |x| x.week.0;
    "weekday_cos", "1", Linear, no, "cyclic coding",
        "Cosine of the time of the week (UTC, from Monday) at the first packet."
        => |x| x.week.1;
    }

    Source: {
    "src_flows_10s", "flow", SignedLog, yes, "KDD99 count, windowed",
        "Flows the originator began in 10 s."
        => |x| x.source_window(TenSeconds, |window| window.flows);
    "src_peers_10s", "host", SignedLog, yes, "Estan, Varghese, Fisk (IMC 2003)",
        "Distinct responders of flows the originator began in 10 s, estimated."
        => |x| x.source_window(TenSeconds, |window| window.peers);
    "src_ports_10s", "service", SignedLog, yes, "Estan, Varghese, Fisk (IMC 2003)",
        "Distinct services (protocol and port) the originator asked for in 10 s, estimated."
        => |x| x.source_window(TenSeconds, |window| window.ports);
    "src_failed_share_10s", "1", Linear, yes, "KDD99 serror_rate and rerror_rate",
        "Share of those flows without answer or rejected, 10 s. Missing without flows."
        => |x| x.source_window(TenSeconds, |window| window.failed_share);
    "src_half_open_share_10s", "1", Linear, no, "KDD99 serror_rate",
        "Share of TCP attempts whose handshake was not completed, 10 s. Missing without attempts."
        => |x| x.source_window(TenSeconds, |window| window.half_open_share);
    "src_bytes_sent_10s", "byte", SignedLog, yes, "this sensor",
        "IP bytes the originator sent in flows it began, 10 s."
        => |x| x.source_window(TenSeconds, |window| window.bytes_sent);
    "src_bytes_received_10s", "byte", SignedLog, yes, "this sensor",
        "IP bytes the originator was sent in flows it began, 10 s."
        => |x| x.source_window(TenSeconds, |window| window.bytes_received);
    "src_flows_60s", "flow", SignedLog, yes, "KDD99 count, windowed",
        "Flows the originator began in 60 s."
        => |x| x.source_window(Minute, |window| window.flows);
    "src_peers_60s", "host", SignedLog, yes, "Estan, Varghese, Fisk (IMC 2003)",
        "Distinct responders of flows the originator began in 60 s, estimated."
        => |x| x.source_window(Minute, |window| window.peers);
    "src_ports_60s", "service", SignedLog, yes, "Estan, Varghese, Fisk (IMC 2003)",
        "Distinct services (protocol and port) the originator asked for in 60 s, estimated."
        => |x| x.source_window(Minute, |window| window.ports);
    "src_failed_share_60s", "1", Linear, yes, "KDD99 serror_rate and rerror_rate",
        "Share of those flows without answer or rejected, 60 s. Missing without flows."
        => |x| x.source_window(Minute, |window| window.failed_share);
    "src_half_open_share_60s", "1", Linear, yes, "KDD99 serror_rate",
        "Share of TCP attempts whose handshake was not completed, 60 s. Missing without attempts."
        => |x| x.source_window(Minute, |window| window.half_open_share);
    "src_bytes_sent_60s", "byte", SignedLog, no, "this sensor",
        "IP bytes the originator sent in flows it began, 60 s."
        => |x| x.source_window(Minute, |window| window.bytes_sent);
    "src_bytes_received_60s", "byte", SignedLog, no, "this sensor",
        "IP bytes the originator was sent in flows it began, 60 s."
        => |x| x.source_window(Minute, |window| window.bytes_received);
    "src_flows_600s", "flow", SignedLog, yes, "KDD99 count, windowed",
        "Flows the originator began in 10 min."
        => |x| x.source_window(TenMinutes, |window| window.flows);
    "src_peers_600s", "host", SignedLog, yes, "Estan, Varghese, Fisk (IMC 2003)",
        "Distinct responders of flows the originator began in 10 min, estimated."
        => |x| x.source_window(TenMinutes, |window| window.peers);
    "src_ports_600s", "service", SignedLog, yes, "Estan, Varghese, Fisk (IMC 2003)",
        "Distinct services (protocol and port) the originator asked for in 10 min, estimated."
        => |x| x.source_window(TenMinutes, |window| window.ports);
    "src_failed_share_600s", "1", Linear, yes, "KDD99 serror_rate and rerror_rate",
        "Share of those flows without answer or rejected, 10 min. Missing without flows."
        => |x| x.source_window(TenMinutes, |window| window.failed_share);
    "src_half_open_share_600s", "1", Linear, no, "KDD99 serror_rate",
        "Share of TCP attempts whose handshake was not completed, 10 min. Missing without attempts."
        => |x| x.source_window(TenMinutes, |window| window.half_open_share);
    "src_bytes_sent_600s", "byte", SignedLog, yes, "this sensor",
        "IP bytes the originator sent in flows it began, 10 min."
        => |x| x.source_window(TenMinutes, |window| window.bytes_sent);
    "src_bytes_received_600s", "byte", SignedLog, yes, "this sensor",
        "IP bytes the originator was sent in flows it began, 10 min."
        => |x| x.source_window(TenMinutes, |window| window.bytes_received);
    "src_same_service_share", "1", Linear, yes, "KDD99 same_srv_rate",
        "Share of the flows the originator began in 10 min that are of this flow's service class. Missing without flows."
        => |x| x.source(|host| host.same_service_share);
    "src_service_diversity", "1", Linear, yes, "Gini index",
        "Diversity of service classes of the flows the originator began in 10 min: 0 one class, 0.875 all alike. Missing without flows."
        => |x| x.source(|host| host.service_diversity);
    "src_age", "s", Time, no, "this sensor",
        "Time since the originator was first seen in this role."
        => |x| x.source(|host| host.age);
    }

    Destination: {
    "dst_flows_10s", "flow", SignedLog, yes, "KDD99 dst_host_count, windowed",
        "Flows begun towards the responder in 10 s."
        => |x| x.destination_window(TenSeconds, |window| window.flows);
    "dst_peers_10s", "host", SignedLog, yes, "Estan, Varghese, Fisk (IMC 2003)",
        "Distinct originators of flows towards the responder in 10 s, estimated."
        => |x| x.destination_window(TenSeconds, |window| window.peers);
    "dst_ports_10s", "service", SignedLog, yes, "Estan, Varghese, Fisk (IMC 2003)",
        "Distinct services (protocol and port) asked of the responder in 10 s, estimated."
        => |x| x.destination_window(TenSeconds, |window| window.ports);
    "dst_failed_share_10s", "1", Linear, yes, "KDD99 serror_rate and rerror_rate",
        "Share of those flows without answer or rejected, 10 s. Missing without flows."
        => |x| x.destination_window(TenSeconds, |window| window.failed_share);
    "dst_half_open_share_10s", "1", Linear, no, "KDD99 serror_rate",
        "Share of TCP attempts whose handshake was not completed, 10 s. Missing without attempts."
        => |x| x.destination_window(TenSeconds, |window| window.half_open_share);
    "dst_bytes_sent_10s", "byte", SignedLog, yes, "this sensor",
        "IP bytes the responder sent in flows begun by others, 10 s."
        => |x| x.destination_window(TenSeconds, |window| window.bytes_sent);
    "dst_bytes_received_10s", "byte", SignedLog, yes, "this sensor",
        "IP bytes the responder was sent in flows begun by others, 10 s."
        => |x| x.destination_window(TenSeconds, |window| window.bytes_received);
    "dst_flows_60s", "flow", SignedLog, yes, "KDD99 dst_host_count, windowed",
        "Flows begun towards the responder in 60 s."
        => |x| x.destination_window(Minute, |window| window.flows);
    "dst_peers_60s", "host", SignedLog, yes, "Estan, Varghese, Fisk (IMC 2003)",
        "Distinct originators of flows towards the responder in 60 s, estimated."
        => |x| x.destination_window(Minute, |window| window.peers);
    "dst_ports_60s", "service", SignedLog, yes, "Estan, Varghese, Fisk (IMC 2003)",
        "Distinct services (protocol and port) asked of the responder in 60 s, estimated."
        => |x| x.destination_window(Minute, |window| window.ports);
    "dst_failed_share_60s", "1", Linear, yes, "KDD99 serror_rate and rerror_rate",
        "Share of those flows without answer or rejected, 60 s. Missing without flows."
        => |x| x.destination_window(Minute, |window| window.failed_share);
    "dst_half_open_share_60s", "1", Linear, yes, "KDD99 serror_rate",
        "Share of TCP attempts whose handshake was not completed, 60 s. Missing without attempts."
        => |x| x.destination_window(Minute, |window| window.half_open_share);
    "dst_bytes_sent_60s", "byte", SignedLog, no, "this sensor",
        "IP bytes the responder sent in flows begun by others, 60 s."
        => |x| x.destination_window(Minute, |window| window.bytes_sent);
    "dst_bytes_received_60s", "byte", SignedLog, no, "this sensor",
        "IP bytes the responder was sent in flows begun by others, 60 s."
        => |x| x.destination_window(Minute, |window| window.bytes_received);
    "dst_flows_600s", "flow", SignedLog, yes, "KDD99 dst_host_count, windowed",
        "Flows begun towards the responder in 10 min."
        => |x| x.destination_window(TenMinutes, |window| window.flows);
    "dst_peers_600s", "host", SignedLog, yes, "Estan, Varghese, Fisk (IMC 2003)",
        "Distinct originators of flows towards the responder in 10 min, estimated."
        => |x| x.destination_window(TenMinutes, |window| window.peers);
    "dst_ports_600s", "service", SignedLog, yes, "Estan, Varghese, Fisk (IMC 2003)",
        "Distinct services (protocol and port) asked of the responder in 10 min, estimated."
        => |x| x.destination_window(TenMinutes, |window| window.ports);
    "dst_failed_share_600s", "1", Linear, yes, "KDD99 serror_rate and rerror_rate",
        "Share of those flows without answer or rejected, 10 min. Missing without flows."
        => |x| x.destination_window(TenMinutes, |window| window.failed_share);
    "dst_half_open_share_600s", "1", Linear, no, "KDD99 serror_rate",
        "Share of TCP attempts whose handshake was not completed, 10 min. Missing without attempts."
        => |x| x.destination_window(TenMinutes, |window| window.half_open_share);
    "dst_bytes_sent_600s", "byte", SignedLog, yes, "this sensor",
        "IP bytes the responder sent in flows begun by others, 10 min."
        => |x| x.destination_window(TenMinutes, |window| window.bytes_sent);
    "dst_bytes_received_600s", "byte", SignedLog, yes, "this sensor",
        "IP bytes the responder was sent in flows begun by others, 10 min."
        => |x| x.destination_window(TenMinutes, |window| window.bytes_received);
    "dst_same_service_share", "1", Linear, yes, "KDD99 dst_host_same_srv_rate",
        "Share of the flows begun towards the responder in 10 min that are of this flow's service class. Missing without flows."
        => |x| x.destination(|host| host.same_service_share);
    "dst_service_diversity", "1", Linear, yes, "Gini index",
        "Diversity of service classes of the flows begun towards the responder in 10 min: 0 one class, 0.875 all alike. Missing without flows."
        => |x| x.destination(|host| host.service_diversity);
    "dst_age", "s", Time, no, "this sensor",
        "Time since the responder was first seen in this role."
        => |x| x.destination(|host| host.age);
    }

    Conversation: {
    "pair_flows", "flow", SignedLog, yes, "RITA connection count",
        "Flows so far from this originator to this service of this responder, this one included."
        => |x| x.conversation(|pair| pair.flows);
    "pair_age", "s", Time, no, "Zeek known-hosts, per pair",
        "From the first flow of this conversation to this one: 0 for a first contact."
        => |x| x.conversation(|pair| pair.age);
    "pair_first", "1", Linear, yes, "this sensor",
        "1 if this is the first flow of the conversation."
        => |x| x.conversation(|pair| flag(pair.age == 0.0));
    "pair_gap_mean", "s", Time, yes, "RITA ts intervals",
        "Mean time between starts of flows of the conversation. Missing below two flows."
        => |x| x.conversation(|pair| pair.gap_mean);
    "pair_gap_variation", "1", SignedLog, yes, "RITA beacon score (dispersion)",
        "Standard deviation over mean of the time between starts: near 0 for a beacon. Missing below three flows."
        => |x| x.conversation(|pair| pair.gap_variation);
    "pair_last_gap", "s", Time, no, "RITA ts intervals",
        "Time between the last two starts. Missing below two flows."
        => |x| x.conversation(|pair| pair.last_gap);
    "pair_beats", "visit", SignedLog, aside, "RITA histogram score (consistency)",
        "Visits in a row at an even pace, one missed now and then forgiven, where this flow brings them to 4, 8, 16 and so on; otherwise 0. Starts within a second are one visit."
        => |x| x.conversation(|pair| pair.beats);
    }

    Log: {
    "log_process_known", "1", Linear, no, "Windows event 5156",
        "1 if a host's log names the process behind the flow, 0 if a log of one of its hosts does not. Missing without log."
        => |_x| f32::NAN;
    "log_process_connections", "connection", SignedLog, no, "Windows event 5156",
        "Connections by that program on that host in the whole log."
        => |_x| f32::NAN;
    "log_process_surprise", "1", Linear, no, "Shannon (1948), information content",
        "Minus the natural logarithm of the program's share of the host's connections: high is rare."
        => |_x| f32::NAN;
    "log_process_port_connections", "connection", SignedLog, no, "Windows event 5156",
        "Connections by that program on that host to the responder's port, in the whole log."
        => |_x| f32::NAN;
    "log_process_hosts", "host", SignedLog, no, "this sensor",
        "Hosts on which logs know that program to connect."
        => |_x| f32::NAN;
    "log_src_refused_600s", "logon", SignedLog, no, "Windows events 4625, 4768, 4769, 4771, 4776",
        "Logons refused to the originator in the 10 min before the flow and while it lasted. Missing where no log speaks of the originator."
        => |_x| f32::NAN;
    "log_src_accounts_600s", "account", SignedLog, no, "Windows events 4625, 4768, 4769, 4771, 4776",
        "Distinct accounts of those refusals."
        => |_x| f32::NAN;
    "log_src_logons_600s", "logon", SignedLog, no, "Windows event 4624",
        "Logons elsewhere from the originator, 10 min."
        => |_x| f32::NAN;
    "log_src_shares_600s", "access", SignedLog, no, "Windows events 5140, 5145",
        "Shares, files and pipes that the originator opened, 10 min."
        => |_x| f32::NAN;
    "log_src_processes_600s", "process", SignedLog, no, "Windows event 4688",
        "Programs started on the originator, 10 min."
        => |_x| f32::NAN;
    "log_src_explicit_600s", "logon", SignedLog, no, "Windows event 4648",
        "Logons from the originator with credentials given by hand, 10 min."
        => |_x| f32::NAN;
    "log_dst_refused_600s", "logon", SignedLog, no, "Windows events 4625, 4768, 4769, 4771, 4776",
        "Logons that the responder refused, 10 min. Missing where no log speaks of the responder."
        => |_x| f32::NAN;
    "log_dst_logons_600s", "logon", SignedLog, no, "Windows event 4624",
        "Logons to the responder, 10 min."
        => |_x| f32::NAN;
    "log_dst_processes_600s", "process", SignedLog, no, "Windows event 4688",
        "Programs started on the responder, 10 min."
        => |_x| f32::NAN;
    "log_dst_services_600s", "service", SignedLog, no, "Windows events 4697, 7045",
        "Services installed on the responder, 10 min."
        => |_x| f32::NAN;
    }
}
