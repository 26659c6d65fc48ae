//! What one entry of a list says.

use std::net::IpAddr;

use super::{Loss, Prefix};

/// Longest domain name (RFC 1035, section 2.3.4, as text without the last dot).
const DOMAIN_MAX: usize = 253;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indicator {
    /// Addresses: one, a prefix, or a range cut into prefixes.
    Prefixes(Vec<Prefix>),
    /// A domain and all below it, in lower case.
    Domain(String),
    /// Fingerprint of a TLS client by JA3: 32 hexadecimal digits, lower case.
    Ja3(String),
    /// Fingerprint of a TLS client by JA4.
    Ja4(String),
}

impl Indicator {
    /// Reads an entry that says nothing of its kind. Defanged spellings (`evil[.]example`) are understood.
    ///
    /// # Errors
    /// Why it is of no use.
    pub fn parse(text: &str) -> Result<Self, Loss> {
        let text = text.trim().trim_matches(['"', '\'']);
        if text.len() > 2 * DOMAIN_MAX {
            return Err(Loss::TooLong);
        }
        let whole;
        let text = if text.contains("[.]") || text.contains("(.)") || text.contains("[:]") {
            whole = text
                .replace("[.]", ".")
                .replace("(.)", ".")
                .replace("[:]", ":");
            whole.as_str()
        } else {
            text
        };
        if let Some(found) = addresses(text) {
            return Ok(Self::Prefixes(found));
        }
        if let Some(hash) = text.strip_prefix("ja3:") {
            return ja3(hash);
        }
        if let Some(print) = text.strip_prefix("ja4:") {
            return ja4(print);
        }
        if text.contains("://") || text.contains('@') || is_hash(text) {
            return Err(Loss::OtherKind);
        }
        ja4(text).or_else(|_| domain(text))
    }

    /// Reads an entry of a kind that the list names, in the words of MISP, STIX, abuse.ch and others.
    ///
    /// # Errors
    /// Why it is of no use.
    pub fn of_kind(kind: &str, text: &str) -> Result<Vec<Self>, Loss> {
        let kind = kind.trim().to_ascii_lowercase();
        let part = |at: usize| text.split('|').nth(at).unwrap_or_default().trim();
        let one = match kind.as_str() {
            "ip" | "ipv4" | "ipv6" | "ip-src" | "ip-dst" | "ip_address" | "ipv4-addr"
            | "ipv6-addr" | "ipv4address" | "ipv6address" | "address" | "cidr" | "netblock"
            | "network" | "subnet" | "ip:port" | "ip-range" | "ipv4-cidr" | "ipv6-cidr" => {
                of_address(text)
            }
            "ip-src|port" | "ip-dst|port" => of_address(part(0)),
            "domain" | "hostname" | "host" | "fqdn" | "domain-name" | "domain_name" => domain(text),
            "hostname|port" => domain(part(0)),
            "domain|ip" => return Ok(vec![domain(part(0))?, of_address(part(1))?]),
            "ja3" | "ja3-fingerprint-md5" => ja3(text),
            "ja4" | "ja4-fingerprint" => ja4(text),
            "" => Self::parse(text),
            _ => Err(Loss::OtherKind),
        };
        Ok(vec![one?])
    }
}

fn of_address(text: &str) -> Result<Indicator, Loss> {
    match Indicator::parse(text)? {
        found @ Indicator::Prefixes(_) => Ok(found),
        _ => Err(Loss::Unreadable),
    }
}

/// An address, a prefix, a range `first-last`, or an address with a port.
fn addresses(text: &str) -> Option<Vec<Prefix>> {
    let starts =
        text.starts_with(|first: char| first.is_ascii_hexdigit() || matches!(first, ':' | '['));
    if !starts {
        return None;
    }
    if let Some(prefix) = Prefix::parse(text) {
        return Some(vec![prefix]);
    }
    if let Some((first, last)) = text.split_once('-') {
        let [first, last] = [first, last].map(|text| text.trim().parse::<IpAddr>().ok());
        return Some(Prefix::cover(first?, last?)).filter(|parts| !parts.is_empty());
    }
    text.parse::<std::net::SocketAddr>()
        .ok()
        .map(|with_port| vec![Prefix::single(with_port.ip())])
}

fn is_hash(text: &str) -> bool {
    matches!(text.len(), 32 | 40 | 56 | 64 | 96 | 128)
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn ja3(text: &str) -> Result<Indicator, Loss> {
    let text = text.trim();
    if text.len() == 32 && is_hash(text) {
        Ok(Indicator::Ja3(text.to_ascii_lowercase()))
    } else {
        Err(Loss::Unreadable)
    }
}

/// `t13d1516h2_8daaf6152771_b186095e22b6`: ten characters, and twice twelve hexadecimal digits (FoxIO, JA4 technical
/// details).
fn ja4(text: &str) -> Result<Indicator, Loss> {
    let mut parts = text.trim().split('_');
    let (start, hashes) = (
        parts.next().unwrap_or_default(),
        [parts.next(), parts.next()],
    );
    let is_start = start.len() == 10
        && start.starts_with(['t', 'q', 'd'])
        && start.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_hash = |part: Option<&str>| {
        part.is_some_and(|part| {
            part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    if is_start && hashes.into_iter().all(is_hash) && parts.next().is_none() {
        Ok(Indicator::Ja4(text.trim().to_ascii_lowercase()))
    } else {
        Err(Loss::Unreadable)
    }
}

/// A name of at least two labels: a list that names `com` is mistaken.
fn domain(text: &str) -> Result<Indicator, Loss> {
    let text = text.trim().trim_end_matches('.');
    let text = text
        .strip_prefix("*.")
        .or_else(|| text.strip_prefix('.'))
        .unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let top = text.rsplit('.').next().unwrap_or_default();
    if text.len() > DOMAIN_MAX
        || !text.split('.').all(is_label)
        || top.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(Loss::Unreadable);
    }
    if top.len() == text.len() {
        return Err(Loss::TooWide);
    }
    Ok(Indicator::Domain(text.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(text: &str) -> Indicator {
        let parts = text.split(' ').map(|part| Prefix::parse(part).expect(part));
        Indicator::Prefixes(parts.collect())
    }

    #[test]
    fn entries_say_what_they_are() {
        for (text, read) in [
            ("192.0.2.7", Ok(prefixes("192.0.2.7"))),
            (" \"192.0.2[.]7\" ", Ok(prefixes("192.0.2.7"))),
            ("192.0.2.7:443", Ok(prefixes("192.0.2.7"))),
            ("[2001:db8::7]:443", Ok(prefixes("2001:db8::7"))),
            (
                "192.0.2.0 - 192.0.2.2",
                Ok(prefixes("192.0.2.0/31 192.0.2.2")),
            ),
            (
                "Evil.EXAMPLE.",
                Ok(Indicator::Domain("evil.example".to_owned())),
            ),
            (
                "*.evil[.]example",
                Ok(Indicator::Domain("evil.example".to_owned())),
            ),
            (
                "dead.beef.cafe",
                Ok(Indicator::Domain("dead.beef.cafe".to_owned())),
            ),
            ("com", Err(Loss::TooWide)),
            ("1.2.3.4.5", Err(Loss::Unreadable)),
            ("192.0.2.256", Err(Loss::Unreadable)),
            ("-a.example", Err(Loss::Unreadable)),
            ("http://192.0.2.7/x", Err(Loss::OtherKind)),
            ("a@evil.example", Err(Loss::OtherKind)),
            ("d41d8cd98f00b204e9800998ecf8427e", Err(Loss::OtherKind)),
            ("", Err(Loss::Unreadable)),
        ] {
            assert_eq!(Indicator::parse(text), read, "{text}");
        }
        let hash = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(
            Indicator::parse(&format!("ja3:{hash}")),
            Ok(Indicator::Ja3(hash.to_owned()))
        );
        let print = "t13d1516h2_8daaf6152771_b186095e22b6";
        assert_eq!(
            Indicator::parse(print),
            Ok(Indicator::Ja4(print.to_owned()))
        );
        assert_eq!(Indicator::parse(&"a".repeat(10_000)), Err(Loss::TooLong));
    }

    #[test]
    fn kinds_are_those_of_others() {
        let kinds = |kind: &str, text: &str| Indicator::of_kind(kind, text);
        assert_eq!(
            kinds("ip-dst|port", "192.0.2.7|80"),
            Ok(vec![prefixes("192.0.2.7")])
        );
        assert_eq!(
            kinds("domain|ip", "evil.example|192.0.2.7"),
            Ok(vec![
                Indicator::Domain("evil.example".to_owned()),
                prefixes("192.0.2.7")
            ])
        );
        assert_eq!(kinds("sha256", "00"), Err(Loss::OtherKind));
        assert_eq!(kinds("ip", "evil.example"), Err(Loss::Unreadable));
        assert_eq!(
            kinds("ja3-fingerprint-md5", "D41D8CD98F00B204E9800998ECF8427E"),
            Ok(vec![Indicator::Ja3(
                "d41d8cd98f00b204e9800998ecf8427e".to_owned()
            )])
        );
    }
}
