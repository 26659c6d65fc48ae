//! What is true of a whole run or of a sensor, noted by name.

use model::Model;
use sensor_ebpf::maps::Ledger;
use serde_json::{Value, json};

/// Where packets went.
pub fn ledger(ledger: &Ledger) -> Value {
    json!({
        "seen": ledger.seen,
        "counted": ledger.counted,
        "not_ip": ledger.not_ip,
        "probe": ledger.probe,
        "counted_before": ledger.counted_before,
        "sampled_out": ledger.sampled_out,
        "malformed": ledger.malformed.iter().sum::<u64>(),
        "overflow": ledger.overflow(),
        "unaccounted": ledger.unaccounted(),
    })
}

/// The model in use. Its threshold is nothing where no single flow can be called anomalous.
pub fn model(model: &Model) -> Value {
    let info = model.info();
    let threshold = model.threshold();
    json!({
        "digest": model.digest(),
        "threshold": threshold.is_finite().then_some(threshold),
        "rows": info.rows,
        "held_out": info.held_out,
        "trees": info.settings.trees,
        "columns_used": info.columns_used,
        "created_by": info.created_by,
        "autoencoder": info.autoencoder.is_some(),
        "peer_groups": info.peer_groups,
    })
}
