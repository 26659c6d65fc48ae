//! What several test programs need.

use std::{env, path::PathBuf};

/// A folder of the shared data, or `None` after having said that the test is not run.
///
/// The data lies beside the checkout, or where `ANOMALY_DETECT_SHARED_DATA` says.
pub(crate) fn shared(folder: &str) -> Option<PathBuf> {
    let root = env::var_os("ANOMALY_DETECT_SHARED_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        Some(path)
    } else {
        eprintln!("not run: shared data absent ({})", path.display());
        None
    }
}
