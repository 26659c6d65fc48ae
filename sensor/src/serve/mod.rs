//! The dashboard: one page, its data as JSON, and news as they come, over HTTP. What it draws it reads from the store on
//! connections of its own that cannot write; what a person decides goes the way that the command line goes, too.
//!
//! Whoever can open a socket to it is taken for an attacker until shown otherwise (`guard`), and whatever comes from packets
//! and logs for an attack on the reader: the page never makes markup of a text (a tidy test looks for it), and a strict
//! content-security-policy stands behind that.

mod access;
mod api;
mod assets;
mod events;
mod guard;
mod limit;
mod pool;
mod query;

use std::{future::Future, io, net::TcpListener, path::PathBuf, sync::Arc};

use axum::{Router, middleware};

pub use self::{
    access::{Access, AccessError, Token},
    events::{Feed, Pulse},
    pool::Fault,
};

/// What the dashboard shows, and to whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The store; it need not be there yet.
    pub store: PathBuf,
    /// Who may look.
    pub access: Access,
    /// News of a live sensor; nothing where a stored folder is shown.
    pub feed: Option<Feed>,
    /// What is shown: `live on eth0`, a folder.
    pub about: String,
}

/// What every request has at hand.
#[derive(Debug)]
struct State {
    pool: pool::Pool,
    feed: Option<Feed>,
    about: String,
    access: Access,
}

type Shared = Arc<State>;

/// Everything that is served.
pub fn router(settings: Settings) -> Router {
    let state = Arc::new(State {
        pool: pool::Pool::new(settings.store),
        feed: settings.feed,
        about: settings.about,
        access: settings.access,
    });
    let open = assets::router(state.feed.is_some()).merge(api::session(Arc::clone(&state)));
    let shut = api::router(Arc::clone(&state)).layer(middleware::from_fn_with_state(
        Arc::clone(&state),
        guard::authenticated,
    ));
    open.merge(shut)
        .layer(middleware::from_fn_with_state(state, guard::decent))
}

/// Serves until `stop` is ready; connections that are open then are given up.
///
/// # Errors
/// The listener cannot be used by the runtime.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let listener = limit::Bounded::new(tokio::net::TcpListener::from_std(listener)?);
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served,
        () = stop => Ok(()),
    }
}
