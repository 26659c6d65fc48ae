//! `smtp.example.org:587`, `[::1]:6379`, `127.0.0.1`: a server by name or address.

use std::{fmt, net::IpAddr};

/// A server by name or address, with its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// Reads a server; the port may be left out.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let fault =
            || format!("`{text}` is no server; write for example example.org:{default_port}");
        let text = text.trim();
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(fault)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| fault())?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(fault()),
            }
        } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
            (text, None)
        } else {
            text.split_once(':')
                .map_or((text, None), |(host, port)| (host, Some(port)))
        };
        let port = match port {
            None => default_port,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(fault)?,
        };
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || host.len() > 253 || !host.bytes().all(sound) {
            return Err(fault());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// Whether it is this machine, so that nobody on the way can listen.
    pub fn is_this_machine(&self) -> bool {
        is_this_machine(&self.host)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Whether a host, without brackets, is this machine (RFC 6761, section 6.3, for the name).
pub(super) fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_read_as_people_write_them() {
        for (text, printed, local) in [
            ("smtp.example.org", "smtp.example.org:587", false),
            ("smtp.example.org:25", "smtp.example.org:25", false),
            ("127.0.0.1", "127.0.0.1:587", true),
            ("127.9.9.9:1", "127.9.9.9:1", true),
            ("::1", "[::1]:587", true),
            ("[::1]:465", "[::1]:465", true),
            ("[2001:db8::5]", "[2001:db8::5]:587", false),
            ("LOCALHOST", "LOCALHOST:587", true),
            ("localhost.example.org", "localhost.example.org:587", false),
        ] {
            let endpoint = Endpoint::parse(text, 587).unwrap();
            assert_eq!(endpoint.to_string(), printed);
            assert_eq!(endpoint.is_this_machine(), local, "{text}");
            assert_eq!(Endpoint::parse(printed, 1), Ok(endpoint));
        }
        for wrong in [
            "", ":25", "a:b", "a:0", "a:70000", "[::1", "[::1]x", "[a]", "a b", "a\r\nb",
            "http://a",
        ] {
            assert!(Endpoint::parse(wrong, 587).is_err(), "{wrong:?}");
        }
    }
}
