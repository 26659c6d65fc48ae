//! Who may ask, and what every answer says of itself.
//!
//! A page of somebody else's in the same browser must neither read this one nor act through it. Against names that an attacker
//! points at this machine (DNS rebinding), `Host` must be an address or a name that was configured. Against requests forged
//! across sites, whatever changes something must come from our own page (`Origin`, `Sec-Fetch-Site`) and be JSON, which no form
//! can send. Beyond loopback a token is asked for, as `Authorization: Bearer` or as the cookie that a login gave.

use axum::{
    extract::{Request, State as Extract},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::Shared;

/// Nothing but what this server sends, nothing inline, no frames, no forms elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
    trusted-types 'none'";

fn refuse(status: StatusCode, why: &'static str) -> Response {
    (status, axum::Json(serde_json::json!({ "error": why }))).into_response()
}

/// Whether a request came from our own page, or from no page at all. `host` is the one it was sent to.
fn is_our_own(request: &Request, host: &str) -> bool {
    let text = |name| request.headers().get(name).map(HeaderValue::to_str);
    let site = match text(header::HeaderName::from_static("sec-fetch-site")) {
        None => true,
        Some(Ok("same-origin" | "none")) => true,
        Some(_) => false,
    };
    let origin = match text(header::ORIGIN) {
        None => true,
        Some(Ok(origin)) => origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
            .is_some_and(|from| from.eq_ignore_ascii_case(host)),
        Some(Err(_)) => false,
    };
    site && origin
}

/// Refuses what is not meant for us or comes from another's page, and gives every answer its headers.
pub(super) async fn decent(
    Extract(state): Extract<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_page = reads && !request.uri().path().starts_with("/api/");
    let is_json = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/json"));
    let mut response = if !state.access.knows(&host) {
        refuse(
            StatusCode::MISDIRECTED_REQUEST,
            "this server is not known by that name; use its address, or add the name to dashboard.hosts",
        )
    } else if !is_page && !is_our_own(&request, &host) {
        refuse(StatusCode::FORBIDDEN, "asked by a page of another site")
    } else if !reads && !is_json {
        refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "what changes something is sent as application/json",
        )
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            header::HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Refuses whoever shows no token where one is wanted.
pub(super) async fn authenticated(
    Extract(state): Extract<Shared>,
    request: Request,
    next: Next,
) -> Response {
    if state.access.admits(request.headers()) {
        return next.run(request).await;
    }
    let mut response = refuse(StatusCode::UNAUTHORIZED, "a token is needed");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}
