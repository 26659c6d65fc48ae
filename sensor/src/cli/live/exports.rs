//! Flows for other programs: IPFIX, Parquet files, conn.log.

use crate::{
    cli::setup::Setup,
    sink::{conn_log, ipfix, outlet::OutletSpec, parquet},
};

/// Those that are configured.
pub(super) fn configured(setup: &Setup) -> Vec<OutletSpec> {
    let config = &setup.config;
    [
        ipfix::outlet(&config.ipfix),
        parquet::outlet(&config.parquet),
        conn_log::outlet(&config.conn_log),
    ]
    .into_iter()
    .flatten()
    .collect()
}
