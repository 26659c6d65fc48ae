//! `/api/v1`: what each tab shows, flows, incidents, and what a person does about them. docs/dashboard.md tells it.

mod actions;
mod attacks;
mod data;
mod flows;
mod hosts;
mod incidents;
mod intel;
mod overview;
mod time;
mod topology;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{RawQuery, State as Extract},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{
    Shared,
    access::{Access, LoginError},
    events,
    pool::Fault,
    query::Parameters,
};
use crate::sink::store::{Reader, StoreError};

/// Readers of the stream of events at once.
const STREAMS: usize = 24;

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Wrong(_) => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(StoreError::Missing { .. }) => StatusCode::NOT_FOUND,
            Self::Store(_) | Self::Sqlite(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let nothing = matches!(&self, Self::Store(StoreError::Missing { .. }));
        (
            status,
            Json(json!({ "error": self.to_string(), "empty": nothing })),
        )
            .into_response()
    }
}

/// A question about the store.
type Question = fn(&Reader, &Parameters) -> Result<Value, Fault>;

async fn ask(
    state: &Shared,
    path: &'static str,
    query: Option<&str>,
    question: Question,
) -> Response {
    let parameters = match Parameters::parse(query) {
        Ok(parameters) => parameters,
        Err(fault) => return fault.into_response(),
    };
    let key = parameters.key(path);
    match state
        .pool
        .ask(key, move |reader| question(reader, &parameters))
        .await
    {
        Ok(answer) => (
            [(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )],
            answer,
        )
            .into_response(),
        Err(fault) => fault.into_response(),
    }
}

const QUESTIONS: &[(&str, Question)] = &[
    ("/api/v1/overview", overview::answer),
    ("/api/v1/time", time::answer),
    ("/api/v1/topology", topology::answer),
    ("/api/v1/attacks", attacks::answer),
    ("/api/v1/intel", intel::answer),
    ("/api/v1/hosts", hosts::list),
    ("/api/v1/host", hosts::one),
    ("/api/v1/data", data::answer),
    ("/api/v1/feature", data::feature),
    ("/api/v1/flows", flows::list),
    ("/api/v1/flow", flows::one),
    ("/api/v1/incidents", incidents::list),
    ("/api/v1/incident", incidents::one),
    ("/api/v1/suppressions", incidents::suppressions),
];

/// Everything that wants a token, where one is wanted.
pub(super) fn router(state: Shared) -> Router {
    let streams = Arc::new(Semaphore::new(STREAMS));
    let mut router: Router<Shared> = Router::new();
    for (path, question) in QUESTIONS {
        router = router.route(
            path,
            get(
                async move |Extract(state): Extract<Shared>, RawQuery(query): RawQuery| {
                    ask(&state, path, query.as_deref(), *question).await
                },
            ),
        );
    }
    router
        .route("/api/v1/incidents/act", post(actions::incidents))
        .route("/api/v1/suppressions/add", post(actions::suppress))
        .route("/api/v1/suppressions/end", post(actions::unsuppress))
        .route(
            "/api/v1/events",
            get(async move |Extract(state): Extract<Shared>| {
                events::stream(&state, &streams).map_or_else(
                    || StatusCode::SERVICE_UNAVAILABLE.into_response(),
                    IntoResponse::into_response,
                )
            }),
        )
        .with_state(state)
}

/// Who is looking: asked by the page before anything else, and answered without a token.
async fn who(Extract(state): Extract<Shared>, headers: HeaderMap) -> Json<Value> {
    let admitted = state.access.admits(&headers);
    Json(json!({
        "admitted": admitted,
        "wants_token": state.access.wants_token(),
        "live": state.feed.is_some(),
        "about": if admitted { state.about.as_str() } else { "" },
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

/// A token for a cookie.
async fn log_in(Extract(state): Extract<Shared>, Json(given): Json<Value>) -> Response {
    let offered = given
        .get("token")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match state.access.log_in(offered) {
        Ok(cookie) => (
            [(header::SET_COOKIE, cookie)],
            Json(json!({ "admitted": true })),
        )
            .into_response(),
        Err(LoginError::Wrong) => (
            StatusCode::UNAUTHORIZED,
            Json(json!({ "error": "that is not the token" })),
        )
            .into_response(),
        Err(LoginError::TooMany) => (
            StatusCode::TOO_MANY_REQUESTS,
            [(header::RETRY_AFTER, "60")],
            Json(json!({ "error": "too many wrong tokens; wait a minute" })),
        )
            .into_response(),
    }
}

/// Logging in and out, for whom no token can be asked.
pub(super) fn session(state: Shared) -> Router {
    Router::new()
        .route("/api/v1/session", get(who).post(log_in))
        .route(
            "/api/v1/session/end",
            post(async || {
                (
                    [(header::SET_COOKIE, Access::log_out())],
                    Json(json!({ "admitted": false })),
                )
            }),
        )
        .with_state(state)
}
