//! What a person does not want to hear of: kept with who said so, why and until when; counted; applied to what is stored, too.

use rusqlite::{Connection, OptionalExtension, params};
use sensor_ebpf::flow::TimeNs;

use super::{
    incidents,
    value::{integer, natural},
};
use crate::score::{HostMatch, Mute};

/// A suppression. What is left out matches everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Its number.
    pub id: i64,
    /// Whose incidents: an address, a prefix or a name.
    pub host: Option<HostMatch>,
    /// Name of their kind.
    pub kind: Option<String>,
    /// Why.
    pub reason: String,
    /// When it was made.
    pub created_ns: TimeNs,
    /// By whom.
    pub created_by: String,
    /// It covers traffic from this moment; 0 for all that is stored.
    pub from_ns: TimeNs,
    /// Until before this one; nothing for ever.
    pub until_ns: Option<TimeNs>,
    /// Incidents that it suppressed.
    pub incidents: u64,
    /// When it did so last.
    pub last_ns: Option<TimeNs>,
    /// When it was removed.
    pub removed_ns: Option<TimeNs>,
    /// By whom.
    pub removed_by: Option<String>,
}

/// A suppression to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewSuppression {
    /// Whose incidents; nothing for those of every host.
    pub host: Option<HostMatch>,
    /// Name of their kind; nothing for every kind.
    pub kind: Option<String>,
    /// Why: for those who ask in half a year.
    pub reason: String,
    /// It covers traffic from this moment; 0 for all that is stored.
    pub from_ns: TimeNs,
    /// Until before this one; nothing for ever.
    pub until_ns: Option<TimeNs>,
    /// Who makes it.
    pub by: String,
}

impl Suppression {
    /// As the watch understands it.
    pub fn mute(&self) -> Mute {
        Mute {
            id: self.id,
            host: self.host.clone(),
            kind: self.kind.clone(),
            from: self.from_ns,
            until: self.until_ns,
            weekly: None,
        }
    }

    /// Whether it is in force at this moment, or will be.
    pub fn is_in_force(&self, now: TimeNs) -> bool {
        self.removed_ns.is_none() && self.until_ns.is_none_or(|until| now < until)
    }
}

const COLUMNS: &str = "id, host, kind, reason, created_ns, created_by, from_ns, until_ns, incidents, last_ns, removed_ns, removed_by";

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Suppression> {
    let time = |at: usize| -> rusqlite::Result<Option<TimeNs>> {
        Ok(row.get::<_, Option<i64>>(at)?.map(natural))
    };
    let host: Option<String> = row.get(1)?;
    Ok(Suppression {
        id: row.get(0)?,
        // One that cannot be read is a name that no host has: it must not suppress everything.
        host: host.map(|host| HostMatch::parse(&host).unwrap_or(HostMatch::Name(host))),
        kind: row.get(2)?,
        reason: row.get(3)?,
        created_ns: natural(row.get(4)?),
        created_by: row.get(5)?,
        from_ns: natural(row.get(6)?),
        until_ns: time(7)?,
        incidents: natural(row.get(8)?),
        last_ns: time(9)?,
        removed_ns: time(10)?,
        removed_by: row.get(11)?,
    })
}

/// Those that were not removed, in their order, also those whose time is over: they still cover what happened before it was.
pub(super) fn standing(connection: &Connection) -> rusqlite::Result<Vec<Suppression>> {
    let sql = format!("SELECT {COLUMNS} FROM suppressions WHERE removed_ns IS NULL ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map([], entry)?.collect()
}

/// All that are remembered, newest first.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Suppression>> {
    let sql = format!("SELECT {COLUMNS} FROM suppressions ORDER BY id DESC");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map([], entry)?.collect()
}

fn one(connection: &Connection, id: i64) -> rusqlite::Result<Option<Suppression>> {
    let sql = format!("SELECT {COLUMNS} FROM suppressions WHERE id = ?1");
    connection.query_row(&sql, [id], entry).optional()
}

/// Makes a suppression and applies it to what is stored. Inside of a transaction.
pub(super) fn add(
    connection: &Connection,
    new: &NewSuppression,
    now: TimeNs,
) -> rusqlite::Result<Suppression> {
    connection.execute(
        "INSERT INTO suppressions (host, kind, reason, created_ns, created_by, from_ns, until_ns)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            new.host.as_ref().map(ToString::to_string),
            new.kind,
            new.reason,
            integer(now),
            new.by,
            integer(new.from_ns),
            new.until_ns.map(integer)
        ],
    )?;
    let id = connection.last_insert_rowid();
    apply(connection, now)?;
    Ok(one(connection, id)?.unwrap_or_else(|| Suppression {
        id,
        host: new.host.clone(),
        kind: new.kind.clone(),
        reason: new.reason.clone(),
        created_ns: now,
        created_by: new.by.clone(),
        from_ns: new.from_ns,
        until_ns: new.until_ns,
        incidents: 0,
        last_ns: None,
        removed_ns: None,
        removed_by: None,
    }))
}

/// Removes a suppression: what it suppressed is heard again. Inside of a transaction. `None`: there is none in force of this number.
pub(super) fn remove(
    connection: &Connection,
    id: i64,
    by: &str,
    now: TimeNs,
) -> rusqlite::Result<Option<u64>> {
    let removed = connection.execute(
        "UPDATE suppressions SET removed_ns = ?2, removed_by = ?3 WHERE id = ?1 AND removed_ns IS NULL",
        params![id, integer(now), by],
    )?;
    if removed == 0 {
        return Ok(None);
    }
    apply(connection, now).map(Some)
}

/// Brings the life of every incident that is stored in line with the suppressions. Answers how many changed. Maintenance windows
/// of the configuration (number 0) are the business of the watch: what they suppressed stays so.
fn apply(connection: &Connection, now: TimeNs) -> rusqlite::Result<u64> {
    let mutes: Vec<Mute> = standing(connection)?
        .iter()
        .map(Suppression::mute)
        .collect();
    let mut statement = connection.prepare_cached(
        "SELECT id, kind, host, last_ns FROM incidents WHERE state <> 2 AND (mute IS NULL OR mute <> 0)",
    )?;
    let all = statement.query_map([], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            natural(row.get(3)?),
        ))
    })?;
    let all: Vec<_> = all.collect::<Result<_, _>>()?;
    let mut changed = 0;
    for (id, kind, host, last) in all {
        let mute = mutes.iter().find(|mute| mute.covers(&host, &kind, last));
        changed += u64::from(incidents::hear_again(
            connection,
            &id,
            mute.map(|mute| mute.id),
            now,
        )?);
    }
    Ok(changed)
}

/// Counts an incident that a suppression suppressed.
pub(super) fn count(connection: &Connection, id: i64, now: TimeNs) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE suppressions SET incidents = incidents + 1, last_ns = ?2 WHERE id = ?1",
        )?
        .execute(params![id, integer(now)])
        .map(drop)
}
