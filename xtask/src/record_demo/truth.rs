//! The ground truth that goes with the capture.

use std::fmt::Write as _;

use jiff::Timestamp;

/// One planted attack.
pub(super) struct Planted {
    /// The kind of incident that the sensor should name.
    pub(super) kind: &'static str,
    /// Who did it.
    pub(super) actor: String,
    /// To whom.
    pub(super) victim: String,
    /// Responder ports; empty for many.
    pub(super) ports: Vec<u16>,
    /// When the program was started.
    pub(super) start: Timestamp,
    /// When it had ended.
    pub(super) end: Timestamp,
    /// The program.
    pub(super) tool: String,
    /// What a reader wants to know.
    pub(super) note: String,
}

/// The document, in TOML.
pub(super) fn document(planted: &[Planted]) -> String {
    let mut text = String::from(
        "# What was planted in office.pcap.zst; everything else is ordinary. Written by `cargo xtask record-demo`.\n\
         # Actor and victim in either role of a flow, port of the responder (empty: any), start and end in UTC.\n\n\
         capture = \"office.pcap.zst\"\n",
    );
    for attack in planted {
        let Planted {
            kind,
            actor,
            victim,
            ports,
            start,
            end,
            tool,
            note,
        } = attack;
        let _ = write!(
            text,
            "\n[[attack]]\nkind = {kind:?}\nactor = {actor:?}\nvictim = {victim:?}\nports = {ports:?}\n\
             start = \"{start:.6}\"\nend = \"{end:.6}\"\ntool = {tool:?}\nnote = {note:?}\n"
        );
    }
    text
}
