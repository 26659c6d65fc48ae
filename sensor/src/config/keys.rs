//! Every key there is, declared once: reading, checking, `config dump` and the messages all come from this table.

use super::Value;

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A length of time; 0 switches off.
    Duration,
    /// A whole number, also with `k`, `M`, `G` (powers of 1000) or `Ki`, `Mi`, `Gi`.
    Integer,
    /// A number.
    Float,
    /// `true` or `false`.
    Flag,
    /// A list of texts; in the environment and in flags separated by commas.
    List,
}

impl Kind {
    /// What a key of this kind takes, with an example: `wants a whole number, ...`.
    pub const fn wants(self) -> &'static str {
        match self {
            Self::Text => "wants a text in quotes",
            Self::Duration => "wants a length of time, for example \"120s\", or 0",
            Self::Integer => "wants a whole number, for example 65536 or \"64Ki\"",
            Self::Float => "wants a number, for example 0.01",
            Self::Flag => "wants true or false",
            Self::List => "wants a list of texts, for example [\"eth0\", \"eth1\"]",
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Section and name: `flow.idle_timeout`.
    pub path: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Default, as text.
    pub default: &'static str,
    /// What it is for.
    pub about: &'static str,
}

impl Key {
    /// Section: `flow`.
    pub fn section(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(section, _)| section)
    }

    /// Name within its section: `idle_timeout`.
    pub fn name(&self) -> &'static str {
        self.path
            .split_once('.')
            .map_or(self.path, |(_, name)| name)
    }

    /// Name in the environment: `ANOMALY_DETECT_FLOW_IDLE_TIMEOUT`.
    pub fn variable(&self) -> String {
        format!(
            "{PREFIX}{}",
            self.path.replace('.', "_").to_ascii_uppercase()
        )
    }

    /// The default as a value.
    pub fn default_value(&self) -> Value {
        Value::parse(self.default, self.kind)
    }
}

/// Beginning of the names of environment variables.
pub(super) const PREFIX: &str = "ANOMALY_DETECT_";
/// Variables that begin so and are no keys: which file to read, and where tests find shared data.
pub(super) const RESERVED: [&str; 2] = ["ANOMALY_DETECT_CONFIG", "ANOMALY_DETECT_SHARED_DATA"];

macro_rules! keys {
    ($($path:literal, $kind:ident, $default:literal, $about:literal;)*) => {
        /// Every key, section by section.
        pub const KEYS: &[Key] = &[$(Key {
            path: $path,
            kind: Kind::$kind,
            default: $default,
            about: $about,
        }),*];
    };
}

keys! {
    "capture.interfaces", List, "", "Interfaces to listen on (live).";
    "capture.taps", List, "", "Interfaces that are mirror ports: their packets are counted and never reach the stack (live).";
    "capture.mode", Text, "auto", "How: auto, xdp, af-xdp or libpcap (live).";
    "capture.frames", Integer, "16384", "Frames of memory for each receive queue of a tap, 2 KB each: what may arrive while the sensor is busy (live).";
    "capture.decap", Flag, "false", "Flows are those inside of tunnels (GRE, VXLAN, Geneve, GTP-U, IP in IP, MPLS, PPPoE), not those on the wire.";
    "capture.fragments", Text, "pair", "Later fragments, which have no ports: pair counts them between the two addresses, as the kernel does; follow in the flow of their first (files, libpcap, AF_XDP).";
    "capture.count", Text, "first-hook", "How often a packet counts that is forwarded between two interfaces: first-hook, both or per-interface (live).";
    "capture.busy_poll", Flag, "false", "AF_XDP never sleeps: less latency for a whole CPU for each receive queue of a tap (live).";

    "flow.idle_timeout", Duration, "120s", "A flow without a packet for this long has ended; 0 switches that off.";
    "flow.active_timeout", Duration, "30m", "A longer flow is cut into records of this length; 0 switches that off.";
    "flow.close_linger", Duration, "1s", "How long a closed TCP connection waits for stragglers; 0 switches that off.";
    "flow.capacity", Integer, "262144", "Flows that may live at once; one more ends the flow idle longest.";
    "flow.half_open_share", Float, "0.25", "Share of flow.capacity from which half-open flows are a flood: they expire sooner, not each gets a record; 0 switches that off.";
    "flow.emergency_timeout", Duration, "5s", "Idle timeout of half-open flows in a flood.";

    "context.hosts", Integer, "65536", "Hosts remembered in each role, source and destination.";
    "context.conversations", Integer, "131072", "Conversations (source, destination, service) remembered.";

    "limits.memory", Integer, "0", "Memory of the program at most, for example 512Mi, with the flow tables it shares with the kernel: flow.capacity, context.hosts and context.conversations follow from it unless they are set; 0 leaves them as they are.";

    "model.trees", Integer, "100", "Trees in the forest.";
    "model.subsample", Integer, "256", "Rows drawn for each tree.";
    "model.seed", Integer, "0", "Seed of everything drawn: the same seed and traffic give the same bytes.";
    "model.shape", Text, "ordinary", "Form of the trees: ordinary or level-shared.";
    "model.range_share", Float, "1", "Share of splits that choose their feature by its range.";
    "model.rank_share", Float, "0.8", "Share of trees that cut sizes, times and rates along their ranks.";
    "model.beyond", Float, "1", "Chance of a feature and tree to have cuts beyond all values seen.";
    "model.contamination", Float, "0.01", "Share of the baseline that is called anomalous.";
    "model.holdout", Float, "0.2", "Share of the rows held out of training for calibration.";
    "model.autoencoder", Float, "0", "Weight of an autoencoder beside the forest, up to 0.9; 0 trains none.";
    "model.trim", Float, "0.1", "Share of the rows, the most anomalous, that the autoencoder does not learn from.";
    "model.peers", Float, "0", "Weight of how odd a flow is among those of its service and role, up to 0.9; 0 forms no groups.";
    "model.threads", Integer, "0", "Threads to train with; 0 for as many as the machine has.";
    "model.sample_rows", Integer, "200000", "Rows sampled for training, at most.";
    "model.trusting", Flag, "false", "Learn also from flows that behaviour alone tells to be attacks.";

    "score.hold_rate", Flag, "true", "Keep the share of flows that are called anomalous near model.contamination while the traffic drifts; each host has a bounded say in it. false: by calibration alone.";
    "score.alert_budget", Text, "", "Incidents to tell, for example 20/day, or critical=10/day, 5/hour; all tells all; empty: 100/day of a watch (live), all of files.";

    "alerts.per_host", Text, "", "New incidents of one host to tell, for example 5/hour; others wait, critical ones last; empty tells all.";
    "alerts.per_kind", Text, "", "New incidents of one kind to tell, for example 20/hour; empty tells all.";
    "alerts.maintenance", List, "", "Hours in which nobody is told, in UTC: sun 02:00-04:00, daily 03:00-03:15, mon-fri 22:00-23:00. Incidents are kept all the same.";

    "store.enabled", Flag, "true", "Keep incidents, telling flows, host profiles and sums over all traffic in an SQLite file (live, run).";
    "store.path", Text, "", "That file; empty for anomaly.sqlite in the output folder.";
    "store.flow_share", Float, "0.05", "Flows to keep: as rare as this share of ordinary flows, and all anomalous ones.";
    "store.flow_score", Float, "0", "Also keep flows that score at least this; 0 for only those above.";
    "store.flows_per_second", Integer, "500", "Flows kept of a second of traffic, over a minute; in a flood the rarest (live).";
    "store.max_flows", Integer, "1000000", "Flows kept at most; the oldest leave.";
    "store.max_flow_age", Duration, "90d", "Age of a flow at most; 0 for any.";
    "store.max_incidents", Integer, "50000", "Incidents kept at most; the oldest leave, open ones last.";
    "store.max_age", Duration, "400d", "Age of an incident and of sums at most; 0 for any.";
    "store.max_hosts", Integer, "65536", "Hosts profiled at most; those that were quiet longest leave.";
    "store.max_bytes", Integer, "4Gi", "Bytes of the file at most; the oldest flows leave, then the oldest of the rest.";

    "evidence.alerts", Integer, "20", "Alerts, the gravest first, that a bundle is kept of: packets, flow, features, reasons (run); 0 keeps none.";
    "evidence.bytes_per_alert", Integer, "1M", "Bytes of packets kept of one alert.";

    "evidence.bytes_in_all", Integer, "256M", "Bytes of all bundles of a live sensor; the oldest leave.";
    "evidence.memory_bytes", Integer, "16M", "Bytes of copied packets that wait in memory for an alert (live).";
    "evidence.packet_bytes", Integer, "256", "Bytes copied of a packet, at most 2048; 0 copies none (live).";
    "evidence.first_packets", Integer, "0", "Packets copied of each flow in each epoch, whatever its score (live).";
    "evidence.watch_p_value", Float, "0.05", "Flows as rare as this are watched: their next packets are copied (live).";
    "evidence.watch_packets", Integer, "64", "Packets copied of a watched flow (live).";

    "live.learn_flows", Integer, "5000", "Flow records to learn a baseline from when no model is given (live).";
    "live.retrain_every", Duration, "24h", "How often to train anew on the traffic that is watched; 0 keeps the first model (live).";
    "live.retrain_drift", Float, "0.3", "Share of the features that moved at which to train anew before that; 1 never does (live).";
    "live.learn_time", Duration, "10m", "Longest time to learn; 0 for as long as it takes (live).";

    "output.folder", Text, "anomaly-out", "Folder for files.";
    "output.format", Text, "table", "Form of what is printed: table, csv or json.";
    "output.top", Integer, "10", "Incidents and flows printed.";
    "output.log_bytes", Integer, "256M", "Bytes of the log of flows, live_capture_log.csv; when it is full it is kept as .csv.1 and another begun; 0 keeps none (live).";

    "ipfix.collector", Text, "", "Collector that flows go to as IPFIX, for example udp://10.0.0.9:4739 or tcp://collector:4739; empty for none (live).";
    "ipfix.domain", Integer, "1", "Observation domain id: tells several sensors behind one address apart.";
    "ipfix.biflow", Flag, "true", "One record for both directions (RFC 5103); false sends a record for each.";
    "ipfix.times", Text, "milliseconds", "Unit of start and end: milliseconds, which every collector reads, or nanoseconds.";
    "ipfix.message_bytes", Integer, "1400", "Bytes of a message over UDP at most; less where the path takes less (Linux).";
    "ipfix.template_interval", Duration, "60s", "How often templates are sent again over UDP; 0 for never.";
    "ipfix.template_messages", Integer, "512", "Messages after which templates are sent again over UDP.";
    "ipfix.rate", Integer, "2000", "Datagrams a second at most, so that a burst does not overflow the collector's socket; 0 for any number.";

    "parquet.folder", Text, "", "Folder for Parquet files of all flows, with features and verdicts, relative to output.folder; empty for none (live).";
    "parquet.rows_per_file", Integer, "1000000", "Rows after which a Parquet file is made.";
    "parquet.every", Duration, "1h", "Time after which a Parquet file is made of what there is; 0 waits for the rows.";
    "parquet.keep_bytes", Integer, "10G", "Bytes of Parquet files kept; the oldest leave; 0 keeps all.";

    "conn_log.folder", Text, "", "Folder for a conn.log of all flows, as Zeek writes it, relative to output.folder; empty for none (live).";
    "conn_log.every", Duration, "1h", "Time after which conn.log is put aside and begun anew; 0 for never.";
    "conn_log.keep_bytes", Integer, "1G", "Bytes of logs put aside; the oldest leave; 0 keeps all.";

    "intel.lists", List, "", "Threat lists: files (plain, CSV, STIX 2.1, MISP; also .gz) or folders of MISP events; what is on one is said beside an incident, and is none by itself.";
    "intel.allow_lists", List, "", "Lists, in the same forms, of what never matches.";
    "intel.own", List, "", "Own addresses and prefixes: entries of lists that cover them are refused.";
    "intel.accept_reserved", Flag, "false", "Take entries of private and reserved space too: lists of own hosts, laboratories.";
    "intel.check_every", Duration, "10s", "Time between two looks at whether a list changed; SIGHUP looks at once (live).";
    "intel.max_entries", Integer, "1000000", "Entries of all lists together, at most.";
    "intel.max_bytes", Integer, "256Mi", "Longest list read, in bytes, decompressed; a longer one is refused.";

    "resources.enabled", Flag, "true", "Watch processor, memory, disk reads and network of the box itself (live, Linux).";
    "resources.deviations", Float, "6", "Robust standard deviations beyond what is usual from which it is a spike (live).";
    "resources.hold", Duration, "10s", "How long a spike must last to be told (live).";
    "resources.window", Duration, "30m", "How much of the past tells what is usual (live).";
    "resources.least_share", Float, "0.2", "Rise of processor or memory use below which nothing is a spike, as a share of the whole (live).";
    "resources.least_bytes", Integer, "20M", "Disk reads or network traffic below which nothing is a spike, in bytes a second (live).";

    "dashboard.listen", Text, "127.0.0.1:9478", "Address that serves the dashboard (live, dashboard); empty serves none.";
    "dashboard.token_file", Text, "", "File whose first line is the token that the dashboard asks for; needed beyond loopback (openssl rand -hex 32).";
    "dashboard.hosts", List, "", "Names under which browsers reach the dashboard; addresses and localhost always do.";

    "metrics.listen", Text, "127.0.0.1:9477", "Address that serves /metrics (live); empty serves none.";

    "webhook.targets", List, "", "Addresses that alerts are posted to, each as TEMPLATE=URL with slack, discord, teams or json; behind it may stand token_file=FILE secret_file=FILE min_severity=SEVERITY (live).";
    "webhook.targets_file", Text, "", "File with more of them, one a line: such an address is a secret in itself (live).";
    "webhook.min_severity", Text, "low", "Least severity that is posted: low, medium, high or critical (live).";
    "webhook.ends", Flag, "false", "Also tell people that an incident is over; the json template always does (live).";
    "webhook.ca_file", Text, "", "Certificates (PEM) to trust beside those of the system (live).";
    "webhook.timeout", Duration, "10s", "Longest time for one post, at most 1m (live).";
    "webhook.plain", Flag, "false", "Post without encryption (http://) to other machines too (live).";

    "mail.server", Text, "", "Mail server, for example smtp.example.org or smtp.example.org:465; empty sends no mail (live).";
    "mail.security", Text, "starttls", "starttls (port 587), tls (port 465), plain (port 25, this machine only) or plain-anywhere (live).";
    "mail.from", Text, "", "Sender, for example \"Sensor <sensor@example.org>\" (live).";
    "mail.to", List, "", "Recipients (live).";
    "mail.username", Text, "", "Account at the mail server; empty for none (live).";
    "mail.password_file", Text, "", "File with the password of the account (live).";
    "mail.min_severity", Text, "medium", "Least severity that is mailed: low, medium, high or critical (live).";
    "mail.interval", Duration, "1m", "After five mails, one in this time: what comes meanwhile is one mail; 0 never waits (live).";
    "mail.repeat", Duration, "15m", "Least time between two mails on one incident, unless it became graver; 0 mails each (live).";
    "mail.ends", Flag, "false", "Also mail that an incident is over (live).";
    "mail.ca_file", Text, "", "Certificates (PEM) to trust beside those of the system (live).";
    "mail.timeout", Duration, "10s", "Longest wait for an answer of the mail server, at most 1m (live).";

    "redis.server", Text, "", "Redis whose stream gets the alerts, for example 127.0.0.1:6379; empty for none (live).";
    "redis.username", Text, "", "Account at Redis; empty for the default one (live).";
    "redis.password_file", Text, "", "File with the password for Redis; empty for none (live).";
    "redis.database", Integer, "0", "Number of the database (live).";
    "redis.stream", Text, "anomaly-detect", "Key of the stream (live).";
    "redis.max_length", Integer, "100000", "Entries that the stream keeps, about; the oldest leave (live).";
    "redis.flows", Flag, "false", "Also every flow that ended (live).";
    "redis.min_severity", Text, "low", "Least severity of the alerts in the stream: low, medium, high or critical (live).";
    "redis.tls", Flag, "false", "Encrypt the connection to Redis, and be sure that it is Redis (live).";
    "redis.ca_file", Text, "", "Certificates (PEM) to trust instead of those of the system (live).";
    "redis.cert_file", Text, "", "Certificate (PEM) to show to Redis; empty shows none (live).";
    "redis.key_file", Text, "", "Key (PEM) of that certificate (live).";
    "redis.timeout", Duration, "5s", "Longest wait for Redis, at most 1m (live).";

    "eve.file", Text, "", "File for EVE JSON as Suricata writes it, relative to output.folder, for example eve.json; empty writes none (live).";
    "eve.events", List, "alert,anomaly", "What is written: alert (incidents), anomaly (anomalous flows), flow (all flows) (live).";
    "eve.rotate_bytes", Integer, "100M", "A file this long is put aside as .1, .2 and so on; 0 never (live).";
    "eve.rotate_files", Integer, "10", "Files kept beside the one that is written; the oldest leaves (live).";
    "eve.stdout", Flag, "false", "EVE on standard output too, instead of the lines for people (live).";
    "eve.socket", Text, "", "Unix socket that gets the lines too; empty for none (live).";
    "eve.socket_type", Text, "stream", "Type of that socket: stream or dgram (live).";

    "ecs.file", Text, "", "File for JSON in the Elastic Common Schema, relative to output.folder, for example ecs.json; empty writes none (live).";
    "ecs.events", List, "alert,anomaly", "What is written: alert (incidents), anomaly (anomalous flows), flow (all flows) (live).";
    "ecs.rotate_bytes", Integer, "100M", "A file this long is put aside as .1, .2 and so on; 0 never (live).";
    "ecs.rotate_files", Integer, "10", "Files kept beside the one that is written; the oldest leaves (live).";
    "ecs.stdout", Flag, "false", "ECS on standard output too, instead of the lines for people (live).";
    "ecs.socket", Text, "", "Unix socket that gets the lines too; empty for none (live).";
    "ecs.socket_type", Text, "stream", "Type of that socket: stream or dgram (live).";

    "syslog.server", Text, "", "Syslog receiver: udp://HOST, tcp://HOST or tls://HOST, with or without :PORT; empty sends none (live).";
    "syslog.facility", Text, "local0", "Facility of the messages, kern to local7 (live).";
    "syslog.hostname", Text, "", "Name of this machine in messages; empty asks the system (live).";
    "syslog.min_severity", Text, "low", "Least severity that is sent: low, medium, high or critical (live).";
    "syslog.confirm", Flag, "true", "Over TCP and TLS messages count as delivered when the receiver closes the connection after the sender; false for receivers that never do (live).";
    "syslog.ca_file", Text, "", "Certificates (PEM) to trust instead of those of the system (live).";
    "syslog.cert_file", Text, "", "Certificate (PEM) to show to the receiver; empty shows none (live).";
    "syslog.key_file", Text, "", "Key (PEM) of that certificate (live).";

    "spool.folder", Text, "", "Folder for what waits for receivers that are slow or away; empty for spool in output.folder (live).";
    "spool.bytes", Integer, "64Mi", "Bytes on disk that may wait for each receiver; what comes beyond is lost and counted (live).";
    "spool.memory_bytes", Integer, "8Mi", "Bytes in memory that may wait for each receiver before the disk is used (live).";
    "spool.dead_letter_bytes", Integer, "1Mi", "Bytes kept of what a receiver refused for good; 0 keeps none (live).";
    "spool.first_retry", Duration, "500ms", "How long after a failure to try again; each time twice as long (live).";
    "spool.longest_retry", Duration, "60s", "Longest time between tries (live).";
}
