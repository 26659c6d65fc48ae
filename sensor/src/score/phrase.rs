//! Reasons in plain words: what was seen, and what is usual here.

use model::Transform;

use super::Reason;
use crate::{context::Window, flow::protocol_name, time};

/// A count with thin grouping: `812`, `37 669`, `1.2 million`.
pub fn count(value: f64) -> String {
    let rounded = value.round();
    match rounded.abs() {
        absolute if absolute >= 1e9 => format!("{:.1} billion", value / 1e9),
        absolute if absolute >= 1e6 => format!("{:.1} million", value / 1e6),
        absolute if absolute >= 1e4 => {
            format!("{} {:03}", (rounded / 1e3).trunc(), rounded.abs() % 1e3)
        }
        _ if (value - rounded).abs() < 0.05 || value.abs() >= 100.0 => format!("{rounded}"),
        _ => format!("{value:.1}"),
    }
}

/// A count of things: `1 flow`, `37 669 flows`.
pub fn several(value: f64, thing: &str) -> String {
    match &*count(value) {
        "1" => format!("1 {thing}"),
        many => format!("{many} {thing}s"),
    }
}

/// A number of bytes: `512 B`, `5.1 MB`.
pub fn bytes(value: f64) -> String {
    const UNITS: [(&str, f64); 4] = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    UNITS
        .iter()
        .find(|(_, size)| value.abs() >= *size)
        .map_or_else(
            || format!("{value:.0} B"),
            |(unit, size)| format!("{:.1} {unit}", value / size).replace(".0 ", " "),
        )
}

/// A raw value with its declared unit.
pub fn amount(value: f32, unit: &str) -> String {
    let value = f64::from(value);
    if value.is_nan() {
        return "none".to_owned();
    }
    match unit {
        "byte" => bytes(value),
        "byte/s" => format!("{}/s", bytes(value)),
        "s" => time::words(value),
        "packet" | "flow" | "host" | "service" | "hop" => several(value, unit),
        "packet/s" => format!("{} packets/s", count(value)),
        _ => small(value),
    }
}

fn small(value: f64) -> String {
    if value.abs() >= 10.0 || (value - value.round()).abs() < 1e-6 {
        count(value)
    } else {
        format!("{value:.2}")
    }
}

fn percent(share: f32) -> String {
    let percent = f64::from(share) * 100.0;
    if percent > 0.0 && percent < 1.0 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

use Form::{Flag, Named, Quantity, Share};

/// How a feature is put into a sentence. `{}` is the value.
#[derive(Clone)]
enum Form {
    /// A quantity in the feature's unit.
    Quantity(&'static str),
    /// A share, in percent.
    Share(&'static str),
    /// Yes or no.
    Flag { yes: &'static str, no: &'static str },
    /// A category: the text as it is.
    Named(String),
}

/// One sentence part for a reason.
pub(super) fn words(reason: &Reason) -> String {
    let feature = reason.feature();
    if reason.value.is_nan() {
        return format!(
            "{} not known (usual here: {})",
            plain(feature.name),
            usual(reason, false)
        );
    }
    match form(feature.name, reason.value) {
        Quantity(text) => format!(
            "{}; usual here: {}",
            text.replace("{}", &amount(reason.value, feature.unit)),
            usual(reason, false)
        ),
        Share(text) => format!(
            "{}; usual here: {}",
            text.replace("{}", &percent(reason.value)),
            usual(reason, true)
        ),
        Flag { yes, no } => {
            let text = if reason.value > 0.5 { yes } else { no };
            format!("{text}; {}", rarity(reason))
        }
        Named(text) => format!("{text}; {}", rarity(reason)),
    }
}

/// What the baseline holds, seen from the value.
fn usual(reason: &Reason, share: bool) -> String {
    let unit = reason.feature().unit;
    let text = |value: f32| {
        if share {
            percent(value)
        } else {
            amount(value, unit)
        }
    };
    if reason.median.is_nan() {
        return "never known".to_owned();
    }
    if reason.value > reason.high {
        format!("at most {}", text(reason.high))
    } else if reason.value < reason.low {
        format!("at least {}", text(reason.low))
    } else if reason.value.is_nan() || text(reason.low) == text(reason.high) {
        format!("around {}", text(reason.median))
    } else {
        format!(
            "around {} ({} to {})",
            text(reason.median),
            text(reason.low),
            text(reason.high)
        )
    }
}

/// How rare a category or a flag is.
fn rarity(reason: &Reason) -> String {
    let categorical = reason.feature().transform == Transform::Categorical;
    if categorical && reason.quantile >= 0.99 {
        "very rare here".to_owned()
    } else if categorical && reason.quantile >= 0.9 {
        "rare here".to_owned()
    } else if !categorical && (reason.value > reason.high || reason.value < reason.low) {
        "hardly ever seen here".to_owned()
    } else if !categorical && (reason.value - reason.median).abs() > 0.5 {
        "unusual here".to_owned()
    } else {
        "not rare alone, but in this company".to_owned()
    }
}

/// The feature's name as words.
fn plain(name: &str) -> String {
    name.replace("orig_", "sent ")
        .replace("resp_", "answered ")
        .replace("src_", "source ")
        .replace("dst_", "destination ")
        .replace("pair_", "conversation ")
        .replace('_', " ")
}

fn form(name: &'static str, value: f32) -> Form {
    for (role, words) in [("src_", SOURCE), ("dst_", DESTINATION)] {
        let Some(rest) = name.strip_prefix(role) else {
            continue;
        };
        for window in Window::ALL {
            let measure = rest.strip_suffix(window.suffix());
            let found = measure.and_then(|measure| words.iter().find(|(name, _)| *name == measure));
            if let Some((measure, texts_of)) = found {
                let text = texts_of[window as usize];
                return if measure.ends_with("share") {
                    Share(text)
                } else {
                    Quantity(text)
                };
            }
        }
    }
    let number = value as u32;
    match name {
        "protocol" => {
            return Named(match protocol_name(number as u16) {
                Some(name) => format!("protocol {name}"),
                None => format!("IP protocol {number}"),
            });
        }
        "dst_port" => return Named(format!("service port {number}")),
        "service_class" => {
            const CLASSES: [&str; 8] = [
                "web",
                "name service",
                "remote control",
                "files and mail",
                "directory or database",
                "network operation",
                "another system port",
                "an unregistered service",
            ];
            let class = CLASSES.get(number as usize).unwrap_or(&"unknown");
            return Named(format!("kind of service: {class}"));
        }
        "icmp_type" => return Named(format!("ICMP type {number}")),
        "conn_state" => {
            const STATES: [&str; 13] = [
                "no answer to the connection attempt",
                "connection established and not ended",
                "connection ended normally",
                "connection attempt rejected",
                "closed by the originator only",
                "closed by the responder only",
                "aborted by the originator",
                "aborted by the responder",
                "SYN then RST without an answer",
                "SYN-ACK then RST without a SYN",
                "SYN then FIN without an answer: half-open probe",
                "SYN-ACK then FIN without a SYN",
                "no start of the connection seen",
            ];
            let state = STATES.get(number as usize).unwrap_or(&"unknown state");
            return Named((*state).to_owned());
        }
        _ => {}
    }
    FORMS
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(Quantity("{}"), |(_, form)| form.clone())
}

/// A measure over windows, with its text for 10 s, 60 s and 10 min.
type Windowed = (&'static str, [&'static str; 3]);

macro_rules! windowed {
    ($($name:literal: $text:literal;)*) => {
        &[$(($name, [
            concat!($text, " in 10 s"),
            concat!($text, " in 60 s"),
            concat!($text, " in 10 min"),
        ])),*]
    };
}

const SOURCE: &[Windowed] = windowed! {
    "flows": "source began {}";
    "peers": "source contacted {}";
    "ports": "source asked for {}";
    "failed_share": "{} of the source's flows failed";
    "half_open_share": "{} of the source's connections were never completed";
    "bytes_sent": "source sent {}";
    "bytes_received": "source was sent {}";
};

const DESTINATION: &[Windowed] = windowed! {
    "flows": "destination got {}";
    "peers": "destination was contacted by {}";
    "ports": "destination was asked for {}";
    "failed_share": "{} of the flows to the destination failed";
    "half_open_share": "{} of the connections to the destination were never completed";
    "bytes_sent": "destination sent {}";
    "bytes_received": "destination was sent {}";
};

/// Sentence parts of the features that are not measured over windows.
const FORMS: &[(&str, Form)] = &[
    (
        "later_fragment",
        Flag {
            yes: "later IP fragments",
            no: "not a fragment",
        },
    ),
    (
        "src_private",
        Flag {
            yes: "source inside",
            no: "source outside the private networks",
        },
    ),
    (
        "dst_private",
        Flag {
            yes: "destination inside",
            no: "destination outside the private networks",
        },
    ),
    (
        "dst_group",
        Flag {
            yes: "destination is a group (multicast or broadcast)",
            no: "destination is one host",
        },
    ),
    (
        "src_port_dynamic",
        Flag {
            yes: "source port from the dynamic range",
            no: "source port below the dynamic range",
        },
    ),
    (
        "dst_port_system",
        Flag {
            yes: "service port below 1024",
            no: "service port above 1023",
        },
    ),
    (
        "dst_port_dynamic",
        Flag {
            yes: "service port in the dynamic range",
            no: "service port below the dynamic range",
        },
    ),
    (
        "odd_flags",
        Flag {
            yes: "TCP flags that do not go together",
            no: "TCP flags in order",
        },
    ),
    (
        "zero_window",
        Flag {
            yes: "a side announced a full receive buffer",
            no: "receive buffers never full",
        },
    ),
    (
        "unanswered",
        Flag {
            yes: "nothing came back",
            no: "it was answered",
        },
    ),
    (
        "pair_first",
        Flag {
            yes: "first contact between the two",
            no: "not the first contact between the two",
        },
    ),
    ("duration", Quantity("lasted {}")),
    ("packets", Quantity("{} in the flow")),
    ("bytes", Quantity("{} in the flow")),
    ("orig_packets", Quantity("sent {}")),
    ("orig_bytes", Quantity("sent {}")),
    ("orig_payload", Quantity("sent {} of data")),
    ("resp_packets", Quantity("got {} back")),
    ("resp_bytes", Quantity("got {} back")),
    ("resp_payload", Quantity("got {} of data back")),
    ("packets_per_second", Quantity("{}")),
    ("bytes_per_second", Quantity("{}")),
    ("down_up_ratio", Quantity("got {} times back what it sent")),
    (
        "producer_consumer_ratio",
        Quantity("producer/consumer ratio {} (1 only sends, -1 only fetches)"),
    ),
    (
        "orig_packet_share",
        Share("{} of the packets came from the source"),
    ),
    ("payload_share", Share("{} of the bytes are payload")),
    ("length_mean", Quantity("packets of {} on average")),
    ("length_std", Quantity("packet lengths scatter by {}")),
    ("orig_length_min", Quantity("shortest packet sent {}")),
    ("orig_length_max", Quantity("longest packet sent {}")),
    (
        "orig_length_mean",
        Quantity("packets sent of {} on average"),
    ),
    (
        "orig_length_std",
        Quantity("lengths of packets sent scatter by {}"),
    ),
    ("resp_length_min", Quantity("shortest packet back {}")),
    ("resp_length_max", Quantity("longest packet back {}")),
    (
        "resp_length_mean",
        Quantity("packets back of {} on average"),
    ),
    (
        "resp_length_std",
        Quantity("lengths of packets back scatter by {}"),
    ),
    ("small_packet_share", Share("{} small packets")),
    ("gap_max", Quantity("longest pause {}")),
    ("gap_mean", Quantity("{} between packets")),
    ("gap_std", Quantity("time between packets scatters by {}")),
    ("orig_gap_max", Quantity("longest pause of the source {}")),
    (
        "orig_gap_mean",
        Quantity("{} between packets of the source"),
    ),
    (
        "orig_gap_std",
        Quantity("time between packets of the source scatters by {}"),
    ),
    (
        "gap_variation",
        Quantity("rhythm of packets: variation {} (0 is a metronome)"),
    ),
    ("answer_delay", Quantity("answered after {}")),
    ("flag_fin", Quantity("{} with FIN")),
    ("flag_syn", Quantity("{} with SYN")),
    ("flag_rst", Quantity("{} with RST")),
    ("flag_psh", Quantity("{} with PSH")),
    ("flag_urg", Quantity("{} with URG")),
    ("syn_share", Share("{} of the packets carry SYN")),
    ("rst_share", Share("{} of the packets carry RST")),
    ("orig_window", Quantity("first TCP window of the source {}")),
    (
        "resp_window",
        Quantity("first TCP window of the destination {}"),
    ),
    ("orig_ttl_min", Quantity("TTL of the source {}")),
    ("resp_ttl_min", Quantity("TTL of the destination {}")),
    (
        "src_same_service_share",
        Share("{} of the source's flows ask for this kind of service"),
    ),
    (
        "src_service_diversity",
        Quantity("diversity of services the source asks for: {}"),
    ),
    (
        "dst_same_service_share",
        Share("{} of the flows to the destination ask for this kind of service"),
    ),
    (
        "dst_service_diversity",
        Quantity("diversity of services asked of the destination: {}"),
    ),
    (
        "pair_flows",
        Quantity("{} between the two for this service so far"),
    ),
    ("pair_gap_mean", Quantity("comes back every {}")),
    (
        "pair_gap_variation",
        Quantity("returns with variation {} (0 is a clock)"),
    ),
    ("pair_beats", Quantity("kept an even pace for {}")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::TABLE;

    #[test]
    fn every_feature_of_the_model_has_words() {
        for feature in TABLE.iter().filter(|feature| feature.model) {
            let text = match form(feature.name, 1.0) {
                Quantity(text) => {
                    let windowless = FORMS.iter().any(|(name, _)| *name == feature.name);
                    assert!(windowless || text != "{}", "no words for {}", feature.name);
                    text.to_owned()
                }
                Share(text) => text.to_owned(),
                Flag { yes, .. } => yes.to_owned(),
                Named(text) => text,
            };
            assert!(!text.is_empty(), "{}", feature.name);
        }
        for (name, _) in FORMS {
            assert!(
                TABLE.iter().any(|feature| feature.name == *name),
                "{name} is no feature"
            );
        }
    }

    #[test]
    fn a_reason_reads_as_a_sentence_with_its_baseline() {
        let reason = |name: &str, value, quantile, low, median, high| {
            let feature = crate::features::position(name).unwrap();
            words(&Reason {
                feature,
                value,
                weight: 0.5,
                quantile,
                low,
                median,
                high,
            })
        };
        assert_eq!(
            reason("src_ports_60s", 812.0, 1.0, 1.0, 1.0, 3.0),
            "source asked for 812 services in 60 s; usual here: at most 3 services"
        );
        assert_eq!(
            reason("dst_failed_share_10s", 0.97, 1.0, 0.0, 0.0, 0.1),
            "97 % of the flows to the destination failed in 10 s; usual here: at most 10 %"
        );
        assert_eq!(
            reason("dst_port", 4444.0, 1.0, 80.0, 443.0, 22.0),
            "service port 4444; very rare here"
        );
        assert_eq!(
            reason("orig_payload", 5_100_000.0, 1.0, 0.0, 300.0, 41_000.0),
            "sent 5.1 MB of data; usual here: at most 41 kB"
        );
    }
}
