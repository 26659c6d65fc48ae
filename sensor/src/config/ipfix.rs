//! Section `ipfix`: flows to a collector.

use std::{fmt, time::Duration};

use super::{ConfigError, Layers};

/// Section `ipfix`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ipfix {
    /// Where to; nowhere unless named.
    pub collector: Option<Collector>,
    /// Observation domain id.
    pub domain: u32,
    /// Whether one record has both directions.
    pub biflow: bool,
    /// Whether times are in nanoseconds rather than in milliseconds.
    pub nanoseconds: bool,
    /// Bytes of a message at most.
    pub message_bytes: usize,
    /// Time after which templates are sent again over UDP.
    pub template_interval: Duration,
    /// Messages after which templates are sent again over UDP.
    pub template_messages: u32,
    /// Datagrams a second at most; 0 for any number.
    pub rate: u32,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams: what is lost is lost.
    Udp,
    /// A connection.
    Tcp,
}

/// A collector's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// How messages travel there.
    pub transport: Transport,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// IANA's port for IPFIX.
const PORT: u16 = 4739;
const FORM: &str = "write for example udp://collector.example:4739 or tcp://[2001:db8::1]:4739";

impl Collector {
    /// Reads `udp://host:port` or `tcp://host:port`; the port may be left away.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address of a collector; {FORM}");
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let transport = match scheme {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            _ => return Err(wrong()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(wrong());
                }
                (host, port)
            }
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port != 0),
            None => port.is_empty().then_some(PORT),
        };
        let named = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte));
        match port.filter(|_| named) {
            Some(port) => Ok(Self {
                transport,
                host: host.to_owned(),
                port,
            }),
            None => Err(wrong()),
        }
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl Ipfix {
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let address = layers.text("ipfix.collector")?;
        let collector = match address.as_str() {
            "" => None,
            address => match Collector::parse(address) {
                Ok(collector) => Some(collector),
                Err(what) => return layers.refused("ipfix.collector", what),
            },
        };
        Ok(Self {
            collector,
            domain: layers.integer("ipfix.domain", 0, i64::from(u32::MAX))? as u32,
            biflow: layers.flag_of("ipfix.biflow")?,
            nanoseconds: layers.choice(
                "ipfix.times",
                &[("milliseconds", false), ("nanoseconds", true)],
            )?,
            message_bytes: layers.integer("ipfix.message_bytes", 512, 65_000)? as usize,
            template_interval: layers
                .duration("ipfix.template_interval")?
                .unwrap_or(Duration::from_secs(u64::MAX)),
            template_messages: layers.integer("ipfix.template_messages", 1, 1_000_000)? as u32,
            rate: layers.integer("ipfix.rate", 0, 10_000_000)? as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_there_and_back() {
        for (text, whole) in [
            ("udp://10.0.0.1", "udp://10.0.0.1:4739"),
            (
                "tcp://collector.example:9995",
                "tcp://collector.example:9995",
            ),
            ("udp://[2001:db8::1]:2055/", "udp://[2001:db8::1]:2055"),
            ("tcp://[::1]", "tcp://[::1]:4739"),
        ] {
            let collector = Collector::parse(text).expect(text);
            assert_eq!(collector.to_string(), whole);
            assert_eq!(Collector::parse(whole), Ok(collector));
        }
        for wrong in [
            "",
            "10.0.0.1:4739",
            "http://10.0.0.1",
            "udp://",
            "udp://:4739",
            "udp://a:0",
            "udp://a:99999",
            "udp://a b",
            "udp://2001:db8::1",
            "tcp://[nonsense]:1",
            "tcp://[::1",
            "udp://a:1/path",
        ] {
            assert!(Collector::parse(wrong).is_err(), "{wrong}");
        }
    }
}
