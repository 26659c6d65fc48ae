//! Columns of conn.log by name: which are read, and in which order Zeek writes them.

/// Fields of conn.log that are read, in the order of [`field`].
pub(super) const FIELDS: &[&str] = &[
    "ts",
    "uid",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "service",
    "duration",
    "orig_bytes",
    "resp_bytes",
    "conn_state",
    "local_orig",
    "local_resp",
    "missed_bytes",
    "history",
    "orig_pkts",
    "orig_ip_bytes",
    "resp_pkts",
    "resp_ip_bytes",
    "tunnel_parents",
    "label",
    "detailedlabel",
];

/// Columns of conn.log without a header: what Zeek writes by itself, since 2.4 (21 columns), before (20), with labels
/// (23), and since 7.1 with the protocol's number (22).
pub(super) const DEFAULT_COLUMNS: &[&[&str]] = &[
    FIELDS.split_at(21).0,
    &[
        "ts",
        "uid",
        "id.orig_h",
        "id.orig_p",
        "id.resp_h",
        "id.resp_p",
        "proto",
        "service",
        "duration",
        "orig_bytes",
        "resp_bytes",
        "conn_state",
        "local_orig",
        "missed_bytes",
        "history",
        "orig_pkts",
        "orig_ip_bytes",
        "resp_pkts",
        "resp_ip_bytes",
        "tunnel_parents",
    ],
    FIELDS,
    &[
        "ts",
        "uid",
        "id.orig_h",
        "id.orig_p",
        "id.resp_h",
        "id.resp_p",
        "proto",
        "service",
        "duration",
        "orig_bytes",
        "resp_bytes",
        "conn_state",
        "local_orig",
        "local_resp",
        "missed_bytes",
        "history",
        "orig_pkts",
        "orig_ip_bytes",
        "resp_pkts",
        "resp_ip_bytes",
        "tunnel_parents",
        "ip_proto",
    ],
];

/// Positions in [`FIELDS`].
pub(super) mod field {
    pub(in crate::zeek) const TS: usize = 0;
    pub(in crate::zeek) const UID: usize = 1;
    pub(in crate::zeek) const ORIG_H: usize = 2;
    pub(in crate::zeek) const ORIG_P: usize = 3;
    pub(in crate::zeek) const RESP_H: usize = 4;
    pub(in crate::zeek) const RESP_P: usize = 5;
    pub(in crate::zeek) const PROTO: usize = 6;
    pub(in crate::zeek) const SERVICE: usize = 7;
    pub(in crate::zeek) const DURATION: usize = 8;
    pub(in crate::zeek) const ORIG_BYTES: usize = 9;
    pub(in crate::zeek) const RESP_BYTES: usize = 10;
    pub(in crate::zeek) const CONN_STATE: usize = 11;
    pub(in crate::zeek) const LOCAL_ORIG: usize = 12;
    pub(in crate::zeek) const LOCAL_RESP: usize = 13;
    pub(in crate::zeek) const MISSED_BYTES: usize = 14;
    pub(in crate::zeek) const HISTORY: usize = 15;
    pub(in crate::zeek) const ORIG_PKTS: usize = 16;
    pub(in crate::zeek) const ORIG_IP_BYTES: usize = 17;
    pub(in crate::zeek) const RESP_PKTS: usize = 18;
    pub(in crate::zeek) const RESP_IP_BYTES: usize = 19;
    pub(in crate::zeek) const TUNNEL_PARENTS: usize = 20;
    pub(in crate::zeek) const LABEL: usize = 21;
    pub(in crate::zeek) const DETAILED_LABEL: usize = 22;
}
