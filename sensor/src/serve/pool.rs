//! Connections to the store for reading: few, each used by one question at a time, none of which may take long. Answers are
//! kept for a moment, so that ten open pages cost as much as one.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::body::Bytes;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::sink::store::{Reader, StoreError};

/// Questions at once.
const READERS: usize = 3;
/// A question that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer stays true enough.
const FRESH: Duration = Duration::from_millis(1500);
/// A connection older than this is not used again: the file may have been put aside, and another in its place.
const WORN: Duration = Duration::from_secs(20);
/// Answers kept.
const KEPT: usize = 64;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// There is no such thing.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// The question makes no sense.
    #[error("{0}")]
    Wrong(String),
    /// It took too long.
    #[error("the store is busy; try a shorter time or again later")]
    Busy,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What SQLite said.
    #[error("the store: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

#[derive(Debug)]
pub(super) struct Pool {
    path: PathBuf,
    idle: Arc<Mutex<Vec<(Instant, Reader)>>>,
    room: Arc<Semaphore>,
    kept: Mutex<HashMap<String, (Instant, Bytes)>>,
}

impl Pool {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Arc::default(),
            room: Arc::new(Semaphore::new(READERS)),
            kept: Mutex::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Forgets answers, because something was changed from here.
    pub(super) fn forget(&self) {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The answer to a question as JSON; `key` tells questions apart.
    pub(super) async fn ask(
        &self,
        key: String,
        question: impl FnOnce(&Reader) -> Result<Value, Fault> + Send + 'static,
    ) -> Result<Bytes, Fault> {
        if let Some((at, answer)) = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            && at.elapsed() < FRESH
        {
            return Ok(answer.clone());
        }
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.room).acquire_owned());
        let Ok(Ok(permit)) = permit.await else {
            return Err(Fault::Busy);
        };
        let reader = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let (since, reader) = match reader.filter(|(since, _)| since.elapsed() < WORN) {
            Some(idle) => idle,
            None => (Instant::now(), Reader::open(&self.path)?),
        };
        let interrupt = reader.connection().get_interrupt_handle();
        let idle = Arc::clone(&self.idle);
        let mut work = tokio::task::spawn_blocking(move || {
            // One look: what is counted in one table is what is counted in another.
            let answer = reader
                .connection()
                .execute_batch("BEGIN")
                .map_err(Fault::from)
                .and_then(|()| question(&reader));
            let ended = reader.connection().execute_batch("COMMIT");
            // A connection that cannot even end a reading transaction is not used again.
            if ended.is_ok() {
                idle.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((since, reader));
            }
            drop(permit);
            answer.map(|value| Bytes::from(value.to_string()))
        });
        let answer = match tokio::time::timeout(PATIENCE, &mut work).await {
            Ok(answer) => answer.map_err(|_| Fault::Busy)??,
            Err(_) => {
                interrupt.interrupt();
                return Err(Fault::Busy);
            }
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        if kept.len() < KEPT {
            kept.insert(key, (Instant::now(), answer.clone()));
        }
        Ok(answer)
    }
}
