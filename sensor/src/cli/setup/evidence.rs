//! Evidence as it is configured.

use super::Setup;
use crate::{
    capture::CopySettings,
    pipeline::evidence::{Keep, LiveSettings},
};

impl Setup {
    /// Which packets a live sensor copies, if any.
    pub(in crate::cli) fn copies(&self) -> Option<CopySettings> {
        /// Copies of half a second of a busy link wait here until they are taken.
        const WAITING_BYTES: u32 = 4 << 20;
        let evidence = &self.config.evidence;
        (evidence.packet_bytes > 0).then_some(CopySettings {
            bytes: evidence.packet_bytes,
            first_packets: evidence.first_packets,
            waiting_bytes: WAITING_BYTES,
        })
    }

    /// How a live sensor keeps evidence.
    pub(in crate::cli) fn evidence(&self) -> LiveSettings {
        let evidence = &self.config.evidence;
        LiveSettings {
            folder: self.folder().join("evidence"),
            keep: Keep {
                alerts: evidence.alerts,
                bytes_per_alert: evidence.bytes_per_alert,
            },
            bytes_in_all: evidence.bytes_in_all,
            watch_p_value: evidence.watch_p_value,
            watch_packets: evidence.watch_packets,
            memory_bytes: evidence.memory_bytes,
            config: self.digest.clone(),
        }
    }
}
