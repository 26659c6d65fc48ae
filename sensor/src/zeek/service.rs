//! Zeek's names of application protocols as numbers that stay.

/// Names in the order of their numbers, from 1. New ones go to the end: models hold the numbers.
const NAMES: [&str; 44] = [
    "dns",
    "http",
    "ssl",
    "dhcp",
    "ntp",
    "ssh",
    "smtp",
    "ftp",
    "ftp-data",
    "irc",
    "smb",
    "dce_rpc",
    "krb",
    "krb_tcp",
    "krb_udp",
    "ntlm",
    "gssapi",
    "ldap",
    "ldap_tcp",
    "ldap_udp",
    "rdp",
    "rfb",
    "sip",
    "snmp",
    "syslog",
    "mysql",
    "mqtt",
    "modbus",
    "dnp3",
    "radius",
    "socks",
    "imap",
    "pop3",
    "quic",
    "xmpp",
    "tftp",
    "teredo",
    "ayiya",
    "gtpv1",
    "bittorrent",
    "websocket",
    "postgresql",
    "redis",
    "stun",
];
/// A name that the list does not have.
const UNKNOWN: u8 = 255;

/// The number of a service; of several (`ssl,quic`) that of the one that comes last in the list: the most particular. 0 for none.
pub(super) fn code(service: Option<&str>) -> f32 {
    let Some(service) = service else {
        return 0.0;
    };
    let number = |name: &str| {
        let at = NAMES.iter().position(|known| *known == name);
        at.map_or(UNKNOWN, |at| at as u8 + 1)
    };
    let numbers = service.split(',').map(number);
    let known = numbers.filter(|number| *number != UNKNOWN).max();
    f32::from(known.unwrap_or(UNKNOWN))
}
