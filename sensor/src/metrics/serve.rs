//! Serves the metrics over HTTP.

use axum::{
    Router,
    extract::Path,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};

use super::{Metrics, Pulse, runbooks};

/// What is served: `/metrics`, `/healthz` (is the loop alive?), `/readyz` (is it watching?), `/runbooks`, and a page that
/// leads there.
pub fn router(metrics: Metrics, pulse: &Pulse) -> Router {
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
            "<!doctype html><title>anomaly-detect</title><a href=\"/metrics\">metrics</a> <a href=\"/runbooks\">runbooks</a> <a href=\"/healthz\">health</a> <a href=\"/readyz\">readiness</a>",
        )
            .into_response()
    };
    let runbooks = || async {
        (
            [(CONTENT_TYPE, "text/html; charset=utf-8")],
            runbooks::index(),
        )
            .into_response()
    };
    let (health, readiness) = (pulse.clone(), pulse.clone());
    Router::new()
        .route("/healthz", get(async move || answer(health.health())))
        .route("/readyz", get(async move || answer(readiness.readiness())))
        .route("/metrics", get(exposition))
        .route("/runbooks", get(runbooks))
        .route("/runbooks/{name}", get(runbook))
        .route("/", get(page))
}

/// One page, as it was written.
async fn runbook(Path(name): Path<String>) -> impl IntoResponse {
    let plain = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    match runbooks::page(&name) {
        Some(page) => (StatusCode::OK, plain, page),
        None => (
            StatusCode::NOT_FOUND,
            plain,
            "no such runbook; see /runbooks\n",
        ),
    }
}

/// Good or not, in a status that probes read and a line that people do.
fn answer((is_good, line): (bool, String)) -> impl IntoResponse {
    let status = if is_good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        [(CONTENT_TYPE, "text/plain; charset=utf-8")],
        format!("{line}\n"),
    )
}
