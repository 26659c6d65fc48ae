//! Serves the metrics over HTTP.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use axum::{Router, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};

use super::Metrics;

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "{address}: {source}; another program serves there already? choose another with --set metrics.listen=127.0.0.1:9478, or none with --set metrics.listen="
)]
pub struct ServeError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// Takes the address, so that a port in use is known before anything begins.
///
/// # Errors
/// The address is taken, or not one of this machine.
pub fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .map_err(|source| ServeError { address, source })
}

/// What is served: `/metrics`, and a page that leads there.
pub fn router(metrics: Metrics) -> Router {
    let exposition = move || async move {
        (
            [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
            metrics.text(),
        )
            .into_response()
    };
    let page = || async {
        (
            [(CONTENT_TYPE, "text/html; charset=utf-8")],
            "<!doctype html><title>anomaly-detect</title><a href=\"/metrics\">metrics</a>",
        )
            .into_response()
    };
    Router::new()
        .route("/metrics", get(exposition))
        .route("/", get(page))
}
