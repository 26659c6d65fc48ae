//! Which keys a live sensor takes while it runs (SIGHUP), and which want a restart: what is built into the kernel programs, the
//! flow table or the model in use stays as it began, as do addresses that were taken before privileges were given up.

use super::Key;

/// Keys, and sections of which all keys are meant.
const TAKEN: &[&str] = &[
    "score.alert_budget",
    "alerts",
    "store.flow_share",
    "store.flow_score",
    "store.flows_per_second",
    "store.max_flows",
    "store.max_flow_age",
    "store.max_incidents",
    "store.max_age",
    "store.max_hosts",
    "store.max_bytes",
    "evidence.bytes_per_alert",
    "evidence.bytes_in_all",
    "evidence.memory_bytes",
    "evidence.watch_p_value",
    "evidence.watch_packets",
    "ipfix",
    "parquet",
    "conn_log",
    "intel",
    "resources",
    "dashboard.token_file",
    "dashboard.hosts",
    "webhook",
    "mail",
    "redis",
    "eve",
    "ecs",
    "syslog",
    "spool.bytes",
    "spool.memory_bytes",
    "spool.dead_letter_bytes",
    "spool.first_retry",
    "spool.longest_retry",
];

impl Key {
    /// Whether a live sensor takes another value of it while it runs.
    pub fn is_taken_running(&self) -> bool {
        let section = self.section();
        TAKEN.iter().any(|one| *one == self.path || *one == section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KEYS;

    #[test]
    fn each_is_a_key_or_a_section() {
        for one in TAKEN {
            let is_one = |key: &&Key| key.path == *one || key.section() == *one;
            assert!(KEYS.iter().any(|key| is_one(&key)), "{one}");
        }
        let taken = |path: &str| {
            let key = KEYS.iter().find(|key| key.path == path);
            key.expect("a key").is_taken_running()
        };
        assert!(taken("alerts.per_host") && taken("spool.bytes"));
        assert!(!taken("flow.capacity") && !taken("spool.folder") && !taken("capture.interfaces"));
    }
}
