//! Section `syslog`.

use std::path::PathBuf;

use super::{ConfigError, Endpoint, Grade, Layers};

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogTransport {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
    /// A connection that nobody reads along.
    Tls,
}

impl SyslogTransport {
    /// Its name, and the port that is its own (RFC 5426, RFC 6587, RFC 5425).
    const ALL: [(&'static str, u16, Self); 3] = [
        ("udp", 514, Self::Udp),
        ("tcp", 601, Self::Tcp),
        ("tls", 6514, Self::Tls),
    ];
}

/// A syslog receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// How, and where; nothing sends none.
    pub server: Option<(SyslogTransport, Endpoint)>,
    /// 0 to 23.
    pub facility: u8,
    /// Name of this machine in messages; `None` asks the system.
    pub hostname: Option<String>,
    /// Least severity that is sent.
    pub min_severity: Grade,
    /// Whether a batch counts as delivered when the receiver closes the connection, or when it is written.
    pub confirm: bool,
    /// Authorities to trust instead of those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Certificate and key to show.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// Names of the facilities, in the order of their numbers (RFC 5424 §6.2.1, names as syslog.h has them).
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

impl Syslog {
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let server = match parse(&layers.text("syslog.server")?) {
            Ok(server) => server,
            Err(what) => return layers.refused("syslog.server", what),
        };
        let facilities: Vec<(&str, u8)> = FACILITIES.iter().copied().zip(0..).collect();
        let path = |key| {
            let text = layers.text(key)?;
            Ok((!text.is_empty()).then(|| PathBuf::from(text)))
        };
        let own = match (path("syslog.cert_file")?, path("syslog.key_file")?) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => {
                let what =
                    "a certificate and its key go together: syslog.cert_file and syslog.key_file";
                return layers.refused("syslog.cert_file", what.to_owned());
            }
        };
        let hostname = layers.text("syslog.hostname")?;
        if hostname.len() > 255 || !hostname.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = "a name of printable ASCII without spaces, at most 255 long, is wanted";
            return layers.refused("syslog.hostname", what.to_owned());
        }
        Ok(Self {
            server,
            facility: layers.choice("syslog.facility", &facilities)?,
            hostname: (!hostname.is_empty()).then_some(hostname),
            min_severity: Grade::of(layers, "syslog.min_severity")?,
            confirm: layers.flag_of("syslog.confirm")?,
            ca_file: path("syslog.ca_file")?,
            own,
        })
    }
}

/// `udp://host`, `tcp://host:1514`, `tls://[2001:db8::1]:6514`.
fn parse(text: &str) -> Result<Option<(SyslogTransport, Endpoint)>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let (scheme, server) = text.split_once("://").unwrap_or(("", text));
    let Some((_, port, transport)) = SyslogTransport::ALL
        .into_iter()
        .find(|(name, ..)| *name == scheme)
    else {
        return Err(format!(
            "`{text}`: write udp://, tcp:// or tls:// and a host, for example tls://logs.example.org:6514"
        ));
    };
    Ok(Some((transport, Endpoint::parse(server, port)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_read_as_people_write_them() {
        for (text, transport, printed) in [
            ("udp://10.0.0.1", SyslogTransport::Udp, "10.0.0.1:514"),
            ("tcp://logs:1514", SyslogTransport::Tcp, "logs:1514"),
            ("tls://[::1]", SyslogTransport::Tls, "[::1]:6514"),
        ] {
            let (found, server) = parse(text).expect("sound").expect("a server");
            assert_eq!((found, server.to_string().as_str()), (transport, printed));
        }
        assert_eq!(parse(""), Ok(None));
        for wrong in ["logs", "http://logs", "tls://", "udp://a b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
