//! Interfaces where there is no kernel to ask about XDP.

use super::Check;

pub(super) fn checks(wanted: &[String]) -> Vec<Check> {
    let finding = match wanted {
        [] => "through libpcap; choose with --iface".to_owned(),
        wanted => format!("{}: through libpcap", wanted.join(", ")),
    };
    vec![Check::good("interfaces", finding)]
}
