//! What leaves the store, and when.

use rusqlite::{Connection, params};
use sensor_ebpf::flow::TimeNs;

use super::{
    State,
    value::{integer, natural},
};
use crate::sink::rollup;

/// How much the store may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows at most; the oldest go first.
    pub flows: u64,
    /// Age of a flow at most, nanoseconds before the newest.
    pub age_ns: u64,
    /// Files remembered at most. What is forgotten would be taken in again if it still lay there.
    pub files: u64,
    /// Incidents at most; the oldest go first, those that are open last.
    pub incidents: u64,
    /// Age of an incident and of sums at most, nanoseconds before the newest.
    pub history_ns: u64,
    /// Hosts profiled at most; those that were quiet longest go first.
    pub hosts: u64,
    /// Bytes of the file at most; the oldest flows go, then the oldest of everything else.
    pub bytes: u64,
}

const DAY_NS: u64 = 86_400 * 1_000_000_000;

impl Default for Limits {
    /// A million flows (about 600 MB) of 90 days, 100,000 files (eleven years of hourly ones), 50,000 incidents of 400 days,
    /// 65,536 hosts, 4 GiB in all.
    fn default() -> Self {
        Self {
            flows: 1_000_000,
            age_ns: 90 * DAY_NS,
            files: 100_000,
            incidents: 50_000,
            history_ns: 400 * DAY_NS,
            hosts: 65_536,
            bytes: 4 << 30,
        }
    }
}

/// Hours of all hosts kept at most; the oldest go first.
const HOURS_MOST: u64 = 1_000_000;
/// Things that happened to incidents, kept at most.
const EVENTS_MOST: u64 = 500_000;
/// Suppressions that are over or removed, kept at most.
const PAST_SUPPRESSIONS_MOST: u64 = 1_000;
/// Pages given back to the file system in one go.
const VACUUM_PAGES: u32 = 2_000;

/// Whether so many rows are certainly not there: row ids of a table grow, so their span bounds their number. Counting a million
/// rows every few seconds would read the whole index.
fn is_below(connection: &Connection, table: &str, most: u64) -> rusqlite::Result<bool> {
    let span: Option<i64> = connection.query_row(
        &format!("SELECT (SELECT max(id) FROM {table}) - (SELECT min(id) FROM {table})"),
        [],
        |row| row.get(0),
    )?;
    Ok(span.is_none_or(|span| natural(span) < most))
}

/// Forgets flows and files beyond the limits. Inside of a transaction. What a capture holds is as old as the capture: flows of
/// `run` leave by number only.
pub(super) fn expire_flows(connection: &Connection, limits: &Limits) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM flows WHERE start_ns < (SELECT max(start_ns) FROM flows) - ?1
                AND (file IS NULL OR file NOT IN (SELECT id FROM files WHERE digest LIKE 'run:%'))",
        )?
        .execute([integer(limits.age_ns)])?;
    if !is_below(connection, "flows", limits.flows)? {
        let have: i64 = connection.query_row("SELECT count(*) FROM flows", [], |row| row.get(0))?;
        if let Some(beyond) = natural(have)
            .checked_sub(limits.flows)
            .filter(|beyond| *beyond > 0)
        {
            connection.execute(
                "DELETE FROM flows WHERE id IN (SELECT id FROM flows ORDER BY start_ns, id LIMIT ?1)",
                [integer(beyond)],
            )?;
        }
    }
    if !is_below(connection, "files", limits.files)? {
        // Never one whose flows are kept.
        connection.execute(
            "DELETE FROM files WHERE id IN (SELECT id FROM files ORDER BY id DESC LIMIT -1 OFFSET ?1)
                AND id NOT IN (SELECT file FROM flows WHERE file IS NOT NULL)",
            [integer(limits.files)],
        )?;
    }
    Ok(())
}

/// Forgets everything else beyond the limits, as of this traffic time. Inside of a transaction.
pub(super) fn expire_rest(
    connection: &Connection,
    limits: &Limits,
    now: TimeNs,
) -> rusqlite::Result<()> {
    let oldest = now.saturating_sub(limits.history_ns);
    connection.execute(
        "DELETE FROM incidents WHERE last_ns < ?1 AND captured = 0",
        [integer(oldest)],
    )?;
    // What nobody was told of has a quarter of the room: whoever makes many weak incidents moves nothing else out.
    connection
        .prepare_cached(
            "DELETE FROM incidents WHERE id IN
                (SELECT id FROM incidents WHERE state = ?1 ORDER BY last_ns DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute([State::Untold as i64, integer(limits.incidents / 4)])?;
    let have: i64 = connection.query_row("SELECT count(*) FROM incidents", [], |row| row.get(0))?;
    let beyond = natural(have).saturating_sub(limits.incidents);
    if beyond > 0 {
        // Those that nobody was told of first, open ones last.
        connection
            .prepare_cached(
                "DELETE FROM incidents WHERE id IN
                    (SELECT id FROM incidents ORDER BY state <> ?1, state = 0, last_ns LIMIT ?2)",
            )?
            .execute([State::Untold as i64, integer(beyond)])?;
    }
    if !is_below(connection, "life", EVENTS_MOST)? {
        connection.execute(
            "DELETE FROM life WHERE id <= (SELECT max(id) FROM life) - ?1",
            [integer(EVENTS_MOST)],
        )?;
    }
    connection.execute(
        "DELETE FROM life WHERE id IN (SELECT life.id FROM life LEFT JOIN incidents ON incidents.id = life.incident
            WHERE incidents.id IS NULL LIMIT 1000)",
        [],
    )?;
    connection.execute(
        "DELETE FROM suppressions WHERE id IN (SELECT id FROM suppressions
            WHERE removed_ns IS NOT NULL OR until_ns < ?1 ORDER BY id DESC LIMIT -1 OFFSET ?2)",
        params![integer(now), integer(PAST_SUPPRESSIONS_MOST)],
    )?;
    connection.execute(
        "DELETE FROM hosts WHERE id IN (SELECT id FROM hosts ORDER BY last_ns DESC LIMIT -1 OFFSET ?1)",
        [integer(limits.hosts)],
    )?;
    connection.execute(
        "DELETE FROM host_hours WHERE host NOT IN (SELECT id FROM hosts)",
        [],
    )?;
    let hours: i64 =
        connection.query_row("SELECT count(*) FROM host_hours", [], |row| row.get(0))?;
    if natural(hours) > HOURS_MOST {
        connection.execute(
            "DELETE FROM host_hours WHERE (host, hour) IN
                (SELECT host, hour FROM host_hours ORDER BY hour, host LIMIT ?1)",
            [hours - integer(HOURS_MOST)],
        )?;
    }
    let kept = rollup::Kept {
        now_ns: now,
        oldest_ns: oldest,
    };
    rollup::expire(connection, kept)
}

/// Bytes that the file uses.
pub(super) fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| -> rusqlite::Result<i64> {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
    };
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok(natural(pages * pragma("page_size")?))
}

/// Flows forgotten in one round of shrinking, at most: a transaction stays short.
const ROUND_MOST: f64 = 200_000.0;

/// Makes the file smaller where it is beyond its bytes: of the oldest flows as large a share goes as the file is too large, a
/// twentieth at least. Answers the flows that went. Inside of a transaction.
pub(super) fn shrink(connection: &Connection, limits: &Limits) -> rusqlite::Result<u64> {
    let used = used_bytes(connection)?;
    if used <= limits.bytes {
        return Ok(0);
    }
    let have: i64 = connection.query_row("SELECT count(*) FROM flows", [], |row| row.get(0))?;
    if have > 1_000 {
        let excess = (used - limits.bytes) as f64 / used as f64;
        let leave = (have as f64 * excess.max(0.05)).min(ROUND_MOST);
        let gone = connection.execute(
            "DELETE FROM flows WHERE id IN (SELECT id FROM flows ORDER BY start_ns, id LIMIT ?1)",
            [leave.ceil() as i64],
        )?;
        return Ok(gone as u64);
    }
    // So small a bound that incidents and profiles alone are beyond it: these, too.
    for table in ["incidents", "hosts"] {
        connection.execute(
            &format!(
                "DELETE FROM {table} WHERE id IN
                    (SELECT id FROM {table} ORDER BY last_ns LIMIT (SELECT count(*) / 20 + 1 FROM {table}))"
            ),
            [],
        )?;
    }
    connection.execute(
        "DELETE FROM host_hours WHERE hour < (SELECT min(hour) + (max(hour) - min(hour)) / 20 + 1 FROM host_hours)",
        [],
    )?;
    Ok(0)
}

/// Gives free pages back to the file system. Outside of a transaction.
pub(super) fn give_back(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))
}
