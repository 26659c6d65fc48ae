//! Flow records as CSV (RFC 4180, `\n` at line ends), the features behind them, and the verdict behind those.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use super::{escape, json::prediction};
use crate::{
    features::{Row, TABLE},
    flow::{FlowRecord, protocol_text},
    score::{Kind, Reason, Scored},
    time::Stamp,
};

/// Columns of every flow CSV, in order; the features follow.
pub const FLOW_COLUMNS: [&str; 15] = [
    "flow_id",
    "community_id",
    "start_time",
    "end_time",
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "protocol",
    "vlan_id",
    "orig_packets",
    "orig_bytes",
    "resp_packets",
    "resp_bytes",
    "end_reason",
];

/// Columns that predictions add at the end.
pub const VERDICT_COLUMNS: [&str; 5] = ["score", "p_value", "severity", "prediction", "reasons"];

/// Features that are written: all but those that stand among the flow's own columns under the same name.
pub fn feature_columns() -> impl Iterator<Item = (usize, &'static str)> {
    TABLE
        .iter()
        .enumerate()
        .filter(|(_, feature)| !FLOW_COLUMNS.contains(&feature.name))
        .map(|(at, feature)| (at, feature.name))
}

/// Writes flow records, a line each.
pub struct FlowCsv<W: Write> {
    out: W,
    line: String,
    columns: Vec<usize>,
    verdicts: bool,
}

impl<W: Write> FlowCsv<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(mut out: W, verdicts: bool) -> io::Result<Self> {
        let mut header = FLOW_COLUMNS.to_vec();
        header.extend(feature_columns().map(|(_, name)| name));
        if verdicts {
            header.extend(VERDICT_COLUMNS);
        }
        writeln!(out, "{}", header.join(","))?;
        Ok(Self {
            out,
            line: String::with_capacity(2048),
            columns: feature_columns().map(|(at, _)| at).collect(),
            verdicts,
        })
    }

    /// Writes a flow with its features.
    ///
    /// # Errors
    /// What the output says.
    pub fn flow(&mut self, record: &FlowRecord, row: &Row) -> io::Result<()> {
        self.line.clear();
        self.push_flow(record, row);
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())
    }

    /// Writes a flow with its features and its verdict.
    ///
    /// # Errors
    /// What the output says.
    pub fn scored(&mut self, scored: &Scored) -> io::Result<()> {
        debug_assert!(self.verdicts, "the header has the columns");
        self.line.clear();
        self.push_flow(&scored.record, &scored.row);
        self.line.push(',');
        push_verdict(&mut self.line, scored);
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())
    }

    /// Writes a flow with its features whose verdict is not known: the model is still being learned.
    ///
    /// # Errors
    /// What the output says.
    pub fn unscored(&mut self, record: &FlowRecord, row: &Row) -> io::Result<()> {
        self.line.clear();
        self.push_flow(record, row);
        self.line.push_str(",,,,learning,\n");
        self.out.write_all(self.line.as_bytes())
    }

    /// Bytes of the row that was written last.
    pub fn row_bytes(&self) -> usize {
        self.line.len()
    }

    /// Flushes, and gives the output back.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    /// Makes what was written visible to other programs.
    ///
    /// # Errors
    /// What the output says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn push_flow(&mut self, record: &FlowRecord, row: &Row) {
        push_flow_columns(&mut self.line, record);
        for at in &self.columns {
            self.line.push(',');
            push_number(&mut self.line, row[*at]);
        }
    }
}

/// The columns of [`FLOW_COLUMNS`].
pub fn push_flow_columns(line: &mut String, record: &FlowRecord) {
    let (orig, resp) = (record.orig(), record.resp());
    let written = write!(
        line,
        "{:016x},{},{},{},{},",
        record.id,
        record.community_id(),
        Stamp(record.start()),
        Stamp(record.last()),
        record.source(),
    )
    .and_then(|()| match record.ports() {
        Some([from, to]) => write!(line, "{from},{},{to},", record.destination()),
        None => write!(line, ",{},,", record.destination()),
    })
    .and_then(|()| line.write_str(&protocol_text(record.protocol())))
    .and_then(|()| match record.counters.vlan {
        0 => line.write_char(','),
        vlan => write!(line, ",{vlan}"),
    })
    .and_then(|()| {
        write!(
            line,
            ",{},{},{},{},{}",
            orig.packets,
            orig.ip_bytes,
            resp.packets,
            resp.ip_bytes,
            record.end.map_or("", |end| end.name()),
        )
    });
    debug_assert!(written.is_ok(), "a string takes everything");
}

/// The columns of [`VERDICT_COLUMNS`].
pub fn push_verdict(line: &mut String, scored: &Scored) {
    push_verdict_parts(
        line,
        scored.score,
        scored.p_value,
        scored.anomalous,
        scored.severity.name(),
        &reasons_text(scored.kind, &scored.reasons),
    );
}

/// The same from its parts.
pub fn push_verdict_parts(
    line: &mut String,
    score: f32,
    p_value: f64,
    anomalous: bool,
    severity: &str,
    reasons: &str,
) {
    let prediction = prediction(anomalous);
    let written = write!(line, "{score},{p_value:e},{severity},{prediction},");
    debug_assert!(written.is_ok(), "a string takes everything");
    push_text(line, reasons);
}

/// What a flow is part of, and why, in one field.
pub fn reasons_text(kind: Option<Kind>, reasons: &[Reason]) -> String {
    let mut parts: Vec<String> = Vec::with_capacity(reasons.len() + 1);
    if let Some(kind) = kind.filter(|kind| *kind != Kind::UnusualFlow) {
        parts.push(format!("part of: {kind}"));
    }
    parts.extend(reasons.iter().map(ToString::to_string));
    parts.join(" | ")
}

/// A number so that it reads back to the same bits; nothing for NaN.
pub fn push_number(line: &mut String, value: f32) {
    if !value.is_nan() {
        let written = write!(line, "{value}");
        debug_assert!(written.is_ok(), "a string takes everything");
    }
}

/// A text, safe from spreadsheets, quoted where it must be.
pub fn push_text(line: &mut String, text: &str) {
    let text = escape::formula(text);
    if text.contains(['"', ',', '\n', '\r']) {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(&text);
    }
}
