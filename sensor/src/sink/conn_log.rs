//! Our flows as Zeek's conn.log: TSV with the header of Zeek's ASCII writer, so that what reads Zeek's logs reads ours.
//!
//! `history` has the letters in a fixed order: counters do not remember that of time. `missed_bytes` is 0, and `service` and
//! `local_*` are unset, as in a Zeek without analyzers and without a configured site. Flows of ARP are left out, as they are in
//! Zeek's log.

mod outlet;

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use sensor_ebpf::flow::{Half, TimeNs};

pub use self::outlet::{Lines, Log, outlet};
use crate::flow::FlowRecord;

const HEADER: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n\
#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\
\tlocal_orig\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents\n\
#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\tbool\tbool\tcount\tstring\
\tcount\tcount\tcount\tcount\tset[string]\n";

/// Writes conn.log.
pub struct ConnLogSink<W: Write> {
    out: W,
    line: String,
}

impl<W: Write> ConnLogSink<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// What the output says.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(HEADER.as_bytes())?;
        Ok(Self {
            out,
            line: String::with_capacity(256),
        })
    }

    /// Writes a flow that has ended.
    ///
    /// # Errors
    /// What the output says.
    pub fn flow(&mut self, record: &FlowRecord) -> io::Result<()> {
        self.line.clear();
        push(&mut self.line, record);
        self.out.write_all(self.line.as_bytes())
    }

    /// Flushes, and gives the output back.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

fn push(line: &mut String, record: &FlowRecord) {
    if record.key.is_arp() {
        return;
    }
    let (orig, resp) = (record.orig(), record.resp());
    let proto = match record.key.protocol {
        1 | 58 => "icmp",
        6 => "tcp",
        17 => "udp",
        _ => "unknown_transport",
    };
    let single = record.counters.packets() < 2;
    let _ = write!(
        line,
        "{}\tC{:016x}\t{}\t{}\t{}\t{}\t{proto}\t-\t",
        Seconds(record.start()),
        record.id,
        record.source(),
        record.source_port(),
        record.destination(),
        record.destination_port(),
    );
    // A single packet has no duration and no byte counts in Zeek's log either.
    let _ = match single {
        true => write!(line, "-\t-\t-"),
        false => write!(
            line,
            "{}\t{}\t{}",
            Seconds(record.last() - record.start()),
            orig.payload_bytes,
            resp.payload_bytes
        ),
    };
    let history = match proto {
        "tcp" | "udp" => record.history(),
        _ => String::new(),
    };
    let history = if history.is_empty() { "-" } else { &history };
    let _ = write!(line, "\t{}\t-\t-\t0\t{history}", record.conn_state());
    for Half {
        packets, ip_bytes, ..
    } in [orig, resp]
    {
        let _ = write!(line, "\t{packets}\t{ip_bytes}");
    }
    line.push_str("\t-\n");
}

/// A time or length of time as Zeek writes it: seconds with six digits.
struct Seconds(TimeNs);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, rest) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        write!(f, "{seconds}.{:06}", rest / 1000)
    }
}
