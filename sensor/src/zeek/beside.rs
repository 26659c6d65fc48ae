//! What dns.log, http.log and ssl.log say about a connection, where they lie beside its conn.log: joined by uid.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use super::record::{Fields, Records};

/// Connections remembered at most, over all three logs.
const UIDS_MAX: usize = 1 << 20;

/// What the logs of application protocols add. `None`: no such log, or nothing about this connection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Application {
    /// Longest name asked for, bytes.
    pub dns_name_length: Option<f32>,
    /// Shannon entropy of its characters, bits; of the longest.
    pub dns_name_entropy: Option<f32>,
    /// Questions with another answer than NOERROR, or none.
    pub dns_failed: Option<f32>,
    /// Requests.
    pub http_requests: Option<f32>,
    /// Requests answered with 400 or above.
    pub http_failed: Option<f32>,
    /// 1 if the client named the server (SNI), 0 if not.
    pub ssl_named: Option<f32>,
    /// 1 if the handshake came to its end, 0 if not.
    pub ssl_established: Option<f32>,
}

/// The logs beside one conn.log.
#[derive(Debug, Default)]
pub(super) struct Beside {
    by_uid: HashMap<String, Application>,
}

/// Takes a record's fields into what is known of its connection.
type Take = fn(&Fields, &mut Application);

/// Logs, their fields (uid first), and what is taken from them.
const LOGS: [(&str, &[&str], Take); 3] = [
    ("dns", &["uid", "query", "rcode_name"], dns),
    ("http", &["uid", "status_code"], http),
    ("ssl", &["uid", "server_name", "established"], ssl),
];

impl Beside {
    /// Reads what there is: `dns.00.log.gz` for `conn.00.log.gz`. A damaged log gives what is readable of it.
    pub(super) fn of(conn_log: &Path) -> io::Result<Self> {
        let mut beside = Self::default();
        for (log, fields, take) in LOGS {
            let Some(path) = sibling(conn_log, log).filter(|path| path.is_file()) else {
                continue;
            };
            let mut records = Records::open(&path, fields, &[])?;
            while records.advance()? {
                let fields = records.fields();
                let Some(uid) = fields.get(0) else {
                    continue;
                };
                if let Some(known) = beside.by_uid.get_mut(uid) {
                    take(fields, known);
                } else if beside.by_uid.len() < UIDS_MAX {
                    let mut known = Application::default();
                    take(fields, &mut known);
                    beside.by_uid.insert(uid.to_owned(), known);
                }
            }
        }
        Ok(beside)
    }

    /// What is known of a connection.
    pub(super) fn about(&self, uid: &str) -> Application {
        self.by_uid.get(uid).copied().unwrap_or_default()
    }
}

/// The same name with `conn` replaced: the part between separators that is just that.
fn sibling(conn_log: &Path, log: &str) -> Option<PathBuf> {
    let name = conn_log.file_name()?.to_str()?;
    let at = name
        .split(['.', '-', '_'])
        .scan(0, |start, part| {
            let at = *start;
            *start += part.len() + 1;
            Some((at, part))
        })
        .find(|(_, part)| *part == "conn")?
        .0;
    let name = format!("{}{log}{}", &name[..at], &name[at + "conn".len()..]);
    Some(conn_log.with_file_name(name))
}

fn add(sum: &mut Option<f32>, more: bool) {
    *sum = Some(sum.unwrap_or(0.0) + f32::from(u8::from(more)));
}

fn dns(fields: &Fields, known: &mut Application) {
    if let Some(name) = fields.get(1) {
        let length = name.len() as f32;
        if known.dns_name_length.is_none_or(|longest| length > longest) {
            known.dns_name_length = Some(length);
            known.dns_name_entropy = Some(entropy(name.as_bytes()));
        }
    }
    add(&mut known.dns_failed, fields.get(2) != Some("NOERROR"));
}

fn http(fields: &Fields, known: &mut Application) {
    let status = fields.get(1).and_then(|text| text.parse::<u32>().ok());
    add(&mut known.http_requests, true);
    add(
        &mut known.http_failed,
        status.is_some_and(|status| status >= 400),
    );
}

fn ssl(fields: &Fields, known: &mut Application) {
    let flag = |yes: bool| Some(f32::from(u8::from(yes)));
    known.ssl_named = flag(fields.get(1).is_some_and(|name| !name.is_empty()));
    known.ssl_established = flag(matches!(fields.get(2), Some("T" | "true")));
}

/// Bits a character, from the counts of the bytes.
fn entropy(text: &[u8]) -> f32 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let whole = text.len() as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / whole;
            -share * share.log2()
        })
        .sum();
    bits as f32
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::zeek::ConnLog;

    #[test]
    fn siblings() {
        let of = |name: &str| sibling(Path::new(name), "dns").expect("a name");
        assert_eq!(of("/l/conn.00:00.log.gz"), Path::new("/l/dns.00:00.log.gz"));
        assert_eq!(of("a-conn.log"), Path::new("a-dns.log"));
        assert_eq!(sibling(Path::new("connection.log"), "dns"), None);
    }

    #[test]
    fn joined_by_uid() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("written");
        };
        write(
            "conn.log",
            r#"{"ts":1.5,"uid":"Ca","id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2","proto":"udp"}
{"ts":1.6,"uid":"Cb","id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2","proto":"tcp"}
"#,
        );
        write(
            "dns.log",
            "#separator \\x09\n#path\tdns\n#fields\tts\tuid\tquery\trcode_name\n1.5\tCa\tabab\tNXDOMAIN\n1.5\tCa\tb\tNOERROR\n",
        );
        write(
            "http.log",
            "{\"uid\":\"Cb\",\"status_code\":404}\n{\"uid\":\"Cb\",\"status_code\":200}\n",
        );
        let mut log = ConnLog::open(&folder.path().join("conn.log")).expect("a log");
        let mut next = || log.next_conn().expect("readable").expect("a record");
        let expected = Application {
            dns_name_length: Some(4.0),
            dns_name_entropy: Some(1.0),
            dns_failed: Some(1.0),
            ..Application::default()
        };
        assert_eq!(next().application, expected);
        let expected = Application {
            http_requests: Some(2.0),
            http_failed: Some(1.0),
            ..Application::default()
        };
        assert_eq!(next().application, expected);
    }
}
