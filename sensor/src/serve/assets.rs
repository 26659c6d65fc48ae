//! The page and what it loads, compiled in. Each has a tag by its content: a browser asks, and is told that it has it already.

use axum::{
    Router,
    body::Bytes,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest as _, Sha256};

/// A file of the page.
struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal, $kind:expr;)*) => {
        &[$(Asset { name: $name, kind: $kind, bytes: include_bytes!(concat!("assets/", $name)) }),*]
    };
}

const PAGE: &[u8] = include_bytes!("assets/index.html");
const SCRIPT: &str = "text/javascript; charset=utf-8";
const ASSETS: &[Asset] = assets! {
    "app.css", "text/css; charset=utf-8";
    "icon.svg", "image/svg+xml";
    "app.js", SCRIPT;
    "api.js", SCRIPT;
    "dom.js", SCRIPT;
    "format.js", SCRIPT;
    "charts.js", SCRIPT;
    "heat.js", SCRIPT;
    "parts.js", SCRIPT;
    "overview.js", SCRIPT;
    "time.js", SCRIPT;
    "topology.js", SCRIPT;
    "attacks.js", SCRIPT;
    "intel.js", SCRIPT;
    "hosts.js", SCRIPT;
    "data.js", SCRIPT;
    "flows.js", SCRIPT;
    "incidents.js", SCRIPT;
};

fn tag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits: String = digest[..12]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{digits}\"")
}

/// The page; it knows from the beginning whether a sensor is live, so that it need not ask before it asks for data.
fn page(is_live: bool) -> Bytes {
    let text = String::from_utf8_lossy(PAGE);
    let live = if is_live {
        "data-live=\"yes\""
    } else {
        "data-live=\"no\""
    };
    Bytes::from(text.replace("data-live=\"\"", live))
}

fn answer(kind: &'static str, bytes: Bytes, headers: &HeaderMap) -> Response {
    let tag = tag(&bytes);
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|known| known.split(',').any(|one| one.trim() == tag));
    let about = [
        (header::CONTENT_TYPE, kind.to_owned()),
        // A new program may have another page: ask each time, send only what changed.
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, tag),
    ];
    if known {
        (StatusCode::NOT_MODIFIED, about).into_response()
    } else {
        (about, bytes).into_response()
    }
}

pub(super) fn router(is_live: bool) -> Router {
    let page = page(is_live);
    Router::new()
        .route(
            "/",
            get(async move |headers: HeaderMap| answer("text/html; charset=utf-8", page, &headers)),
        )
        .route(
            "/assets/{name}",
            get(async |Path(name): Path<String>, headers: HeaderMap| {
                match ASSETS.iter().find(|asset| asset.name == name) {
                    Some(asset) => answer(asset.kind, Bytes::from_static(asset.bytes), &headers),
                    None => StatusCode::NOT_FOUND.into_response(),
                }
            }),
        )
}
