//! Flows for other programs: IPFIX, Parquet files, conn.log.

use crate::{
    cli::setup::Setup,
    sink::{conn_log, ipfix, outlet::OutletSpec, parquet},
};

/// That of a section, where it is configured. Folders are relative to that of all results.
pub(super) fn configured(setup: &Setup, section: &str) -> Option<OutletSpec> {
    let config = &setup.config;
    let (mut columns, mut lines) = (config.parquet.clone(), config.conn_log.clone());
    for folder in [&mut columns.folder, &mut lines.folder]
        .into_iter()
        .flatten()
    {
        *folder = setup.folder().join(&*folder);
    }
    match section {
        "ipfix" => ipfix::outlet(&config.ipfix),
        "parquet" => parquet::outlet(&columns),
        _ => conn_log::outlet(&lines),
    }
}
