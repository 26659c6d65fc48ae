//! What a person decides from the page. It goes the way the command line goes, and says who did it.

use axum::{
    Json,
    extract::State as Extract,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{Shared, pool::Fault};
use crate::sink::store::{Actions, HostMatch, NewSuppression};

/// Who it was, as far as a page knows.
const BY: &str = "dashboard";
/// A note is a line or two.
const NOTE: usize = 2000;
/// Incidents at once.
const MOST: usize = 500;

/// What becomes of incidents.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Act {
    Acknowledge,
    Close,
    Reopen,
}

/// A decision about incidents.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decision {
    act: Act,
    ids: Vec<String>,
    #[serde(default)]
    note: String,
}

/// A suppression somebody wants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    host: Option<String>,
    kind: Option<String>,
    reason: String,
    /// Seconds from now; none for good.
    seconds: Option<u64>,
}

/// One that is to end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ended {
    id: i64,
}

/// Does it apart from the thread that serves: a writer may have to wait for another.
async fn act(
    state: Shared,
    what: impl FnOnce(&mut Actions) -> Result<Value, Fault> + Send + 'static,
) -> Response {
    let path = state.pool.path().to_owned();
    let done = tokio::task::spawn_blocking(move || {
        let mut actions = Actions::open(&path)?;
        what(&mut actions)
    })
    .await;
    state.pool.forget();
    match done {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(fault)) => fault.into_response(),
        Err(_) => Fault::Busy.into_response(),
    }
}

pub(super) async fn incidents(
    Extract(state): Extract<Shared>,
    Json(decision): Json<Decision>,
) -> Response {
    if decision.note.len() > NOTE || decision.ids.len() > MOST {
        return Fault::Wrong("too long a note, or too many incidents at once".to_owned())
            .into_response();
    }
    act(state, move |actions| {
        let Decision { act, ids, note } = &decision;
        let changed = match act {
            Act::Acknowledge => actions.acknowledge(ids, BY, note),
            Act::Close => actions.close(ids, BY, note),
            Act::Reopen => actions.reopen(ids, BY, note),
        }?;
        Ok(json!({ "changed": changed }))
    })
    .await
}

pub(super) async fn suppress(
    Extract(state): Extract<Shared>,
    Json(wanted): Json<Wanted>,
) -> Response {
    if wanted.reason.trim().is_empty() || wanted.reason.len() > NOTE {
        return Fault::Wrong("a suppression needs a reason, for whoever wonders later".to_owned())
            .into_response();
    }
    if wanted.host.is_none() && wanted.kind.is_none() {
        return Fault::Wrong(
            "a suppression of everything is a sensor switched off; name a host or a kind"
                .to_owned(),
        )
        .into_response();
    }
    act(state, move |actions| {
        let now = crate::time::now();
        let suppression = actions.suppress(&NewSuppression {
            host: wanted
                .host
                .as_deref()
                .map(HostMatch::parse)
                .transpose()
                .map_err(Fault::Wrong)?,
            kind: wanted.kind.clone(),
            reason: wanted.reason.clone(),
            // What is stored already as well: whoever suppresses has seen enough of it.
            from_ns: 0,
            until_ns: wanted
                .seconds
                .map(|seconds| now.saturating_add(seconds.saturating_mul(1_000_000_000))),
            by: BY.to_owned(),
        })?;
        Ok(json!({ "id": suppression.id }))
    })
    .await
}

pub(super) async fn unsuppress(
    Extract(state): Extract<Shared>,
    Json(ended): Json<Ended>,
) -> Response {
    act(state, move |actions| {
        let changed = actions.unsuppress(ended.id, BY)?;
        Ok(json!({ "changed": changed }))
    })
    .await
}
