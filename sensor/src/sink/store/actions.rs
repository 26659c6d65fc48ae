//! What a person does: acknowledge, close, reopen, suppress. From any process; a watch that goes on notices.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::{
    NewSuppression, StoreError, Suppression,
    incidents::{self, Deed},
    schema, suppressions,
};
use crate::time;

/// The store, open for a person to act.
#[derive(Debug)]
pub struct Actions {
    path: PathBuf,
    connection: Connection,
}

impl Actions {
    /// Opens a store that is there, and brings it to this program's version.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.is_file() {
            return Err(StoreError::Missing {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            connection: schema::open(path)?,
            path: path.to_owned(),
        })
    }

    fn change<T>(
        &mut self,
        mut change: impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let path = self.path.clone();
        let mut apply = || -> rusqlite::Result<T> {
            let transaction = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = change(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        };
        apply().map_err(StoreError::at(&path))
    }

    fn act(&mut self, ids: &[String], deed: Deed, by: &str, note: &str) -> Result<u64, StoreError> {
        let now = time::now();
        let mut missing = None;
        let outcome = self.change(|connection| {
            let mut changed = 0;
            for id in ids {
                match incidents::act(connection, id, deed, (by, note, now))? {
                    Some(did) => changed += u64::from(did),
                    None => {
                        missing = Some(id.clone());
                        // Not committed: all of them, or none.
                        return Err(rusqlite::Error::QueryReturnedNoRows);
                    }
                }
            }
            Ok(changed)
        });
        match missing {
            Some(id) => Err(StoreError::Unknown(format!(
                "`{id}`: no incident of this id"
            ))),
            None => outcome,
        }
    }

    /// Somebody deals with these incidents: they are not told again unless they become graver. Answers how many were open.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] where one is not there; nothing is changed then.
    pub fn acknowledge(&mut self, ids: &[String], by: &str, note: &str) -> Result<u64, StoreError> {
        self.act(ids, Deed::Acknowledge, by, note)
    }

    /// Somebody has dealt with these incidents. Answers how many were not closed.
    ///
    /// # Errors
    /// As [`Self::acknowledge`].
    pub fn close(&mut self, ids: &[String], by: &str, note: &str) -> Result<u64, StoreError> {
        self.act(ids, Deed::Close, by, note)
    }

    /// These incidents are open again. Answers how many were acknowledged or closed.
    ///
    /// # Errors
    /// As [`Self::acknowledge`].
    pub fn reopen(&mut self, ids: &[String], by: &str, note: &str) -> Result<u64, StoreError> {
        self.act(ids, Deed::Reopen, by, note)
    }

    /// Makes a suppression, also of what is stored.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn suppress(&mut self, new: &NewSuppression) -> Result<Suppression, StoreError> {
        self.change(|connection| suppressions::add(connection, new, time::now()))
    }

    /// Removes a suppression; answers how many incidents are heard of again.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] where there is none in force of this number.
    pub fn unsuppress(&mut self, id: i64, by: &str) -> Result<u64, StoreError> {
        let removed =
            self.change(|connection| suppressions::remove(connection, id, by, time::now()))?;
        removed.ok_or_else(|| {
            StoreError::Unknown(format!(
                "no suppression {id} in force; `anomaly-detect alerts suppress --list` names them"
            ))
        })
    }
}
