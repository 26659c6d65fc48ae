//! From memory to the tables of the store.

use rusqlite::{Connection, params};

use super::{DAY_SECONDS, Rollup, SAMPLE_ROWS, Sums, What, keep};
use crate::{
    flow::{ConnState, ip_address, protocol_text, service_text},
    score::Kind,
};

/// The tables: one step of the store's migrations.
pub const SCHEMA: &str = "
    CREATE TABLE rollup_slots (
        start_s INTEGER PRIMARY KEY,
        flows INTEGER NOT NULL, anomalous INTEGER NOT NULL, failed INTEGER NOT NULL, scored INTEGER NOT NULL,
        packets INTEGER NOT NULL, sent INTEGER NOT NULL, received INTEGER NOT NULL,
        score_sum REAL NOT NULL, score_max REAL NOT NULL, surprise REAL NOT NULL,
        low INTEGER NOT NULL, medium INTEGER NOT NULL, high INTEGER NOT NULL, critical INTEGER NOT NULL
    );
    CREATE TABLE rollup_mix (
        hour_s INTEGER NOT NULL, what INTEGER NOT NULL, name TEXT NOT NULL,
        flows INTEGER NOT NULL, anomalous INTEGER NOT NULL, failed INTEGER NOT NULL, packets INTEGER NOT NULL,
        sent INTEGER NOT NULL, received INTEGER NOT NULL, score REAL NOT NULL, last_ns INTEGER NOT NULL,
        PRIMARY KEY (hour_s, what, name)
    ) WITHOUT ROWID;
    CREATE TABLE rollup_pairs (
        hour_s INTEGER NOT NULL, src TEXT NOT NULL, dst TEXT NOT NULL,
        flows INTEGER NOT NULL, anomalous INTEGER NOT NULL, failed INTEGER NOT NULL, packets INTEGER NOT NULL,
        sent INTEGER NOT NULL, received INTEGER NOT NULL, score REAL NOT NULL, last_ns INTEGER NOT NULL,
        PRIMARY KEY (hour_s, src, dst)
    ) WITHOUT ROWID;
    CREATE TABLE rollup_scores (
        hour_s INTEGER NOT NULL, bin INTEGER NOT NULL, flows INTEGER NOT NULL,
        PRIMARY KEY (hour_s, bin)
    ) WITHOUT ROWID;
    CREATE TABLE rollup_sample (
        day_s INTEGER NOT NULL, anomalous INTEGER NOT NULL, rank INTEGER NOT NULL,
        score REAL NOT NULL, features BLOB NOT NULL,
        PRIMARY KEY (day_s, anomalous, rank)
    ) WITHOUT ROWID;
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

/// Entries without room of their own.
pub(super) const OTHER: u32 = u32::MAX;

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The upsert into one of the tables that have the same sums behind their key.
fn upsert(table: &str, key: &str) -> String {
    format!(
        "INSERT INTO {table} ({key}, flows, anomalous, failed, packets, sent, received, score, last_ns)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT DO UPDATE SET flows = flows + excluded.flows, anomalous = anomalous + excluded.anomalous,
            failed = failed + excluded.failed, packets = packets + excluded.packets, sent = sent + excluded.sent,
            received = received + excluded.received, score = max(score, excluded.score),
            last_ns = max(last_ns, excluded.last_ns)"
    )
}

/// Adds sums under a key of three columns.
fn add(
    statement: &mut rusqlite::CachedStatement<'_>,
    hour: u64,
    second: &dyn rusqlite::ToSql,
    third: &str,
    sums: &Sums,
) -> rusqlite::Result<()> {
    statement.execute(params![
        integer(hour),
        second,
        third,
        integer(sums.flows),
        integer(sums.anomalous),
        integer(sums.failed),
        integer(sums.packets),
        integer(sums.sent),
        integer(sums.received),
        f64::from(sums.score),
        integer(sums.last_ns)
    ])?;
    Ok(())
}

fn host(address: &[u8; 16]) -> String {
    if *address == [0; 16] {
        String::new()
    } else {
        ip_address(address).to_string()
    }
}

fn name(what: What, code: u32) -> String {
    if code == OTHER {
        return String::new();
    }
    match what {
        What::Protocol => protocol_text(code as u16).into_owned(),
        What::Kind => Kind::ALL[code as usize].name().to_owned(),
        What::State => ConnState::ALL[code as usize].name().to_owned(),
        What::Service | What::Aimed => {
            let (protocol, port) = ((code >> 17) as u16, code as u16);
            if code >> 16 & 1 == 1 {
                format!("{} fragment", protocol_text(protocol))
            } else {
                service_text(protocol, port)
            }
        }
    }
}

/// Notes a fact by its name (`ledger`, `model`, `inputs`), in place of an earlier one.
///
/// # Errors
/// What SQLite says.
pub fn fact(
    connection: &Connection,
    name: &str,
    value: &serde_json::Value,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO facts (name, value) VALUES (?1, ?2)")?
        .execute(params![name, value.to_string()])?;
    Ok(())
}

impl Rollup {
    /// Adds what came since the last time to the tables, and forgets it here. Within a transaction of the caller's: where that
    /// fails, so do these sums.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let taken = std::mem::take(self);
        taken.slots(connection)?;
        let mut mix = connection.prepare_cached(&upsert("rollup_mix", "hour_s, what, name"))?;
        for ((hour, what, code), sums) in &taken.mix {
            add(&mut mix, *hour, &(*what as u8), &name(*what, *code), sums)?;
        }
        let mut pairs = connection.prepare_cached(&upsert("rollup_pairs", "hour_s, src, dst"))?;
        for ((hour, from, to), sums) in &taken.pairs {
            add(&mut pairs, *hour, &host(from), &host(to), sums)?;
        }
        let mut scores = connection.prepare_cached(
            "INSERT INTO rollup_scores (hour_s, bin, flows) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET flows = flows + excluded.flows",
        )?;
        for ((hour, bin), flows) in &taken.scores {
            scores.execute(params![integer(*hour), bin, integer(*flows)])?;
        }
        taken.rows(connection)?;
        for (name, value) in &taken.facts {
            fact(connection, name, value)?;
        }
        for hour in taken.touched.keys() {
            keep::prune(connection, integer(*hour))?;
        }
        Ok(())
    }

    fn slots(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO rollup_slots VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT DO UPDATE SET flows = flows + excluded.flows, anomalous = anomalous + excluded.anomalous,
                failed = failed + excluded.failed, scored = scored + excluded.scored, packets = packets + excluded.packets,
                sent = sent + excluded.sent, received = received + excluded.received,
                score_sum = score_sum + excluded.score_sum, score_max = max(score_max, excluded.score_max),
                surprise = surprise + excluded.surprise, low = low + excluded.low, medium = medium + excluded.medium,
                high = high + excluded.high, critical = critical + excluded.critical",
        )?;
        for (start, slot) in &self.slots {
            statement.execute(params![
                integer(*start),
                integer(slot.flows),
                integer(slot.anomalous),
                integer(slot.failed),
                integer(slot.scored),
                integer(slot.packets),
                integer(slot.sent),
                integer(slot.received),
                slot.score_sum,
                f64::from(slot.score_max),
                slot.surprise,
                integer(slot.severities[0]),
                integer(slot.severities[1]),
                integer(slot.severities[2]),
                integer(slot.severities[3])
            ])?;
        }
        Ok(())
    }

    fn rows(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT OR IGNORE INTO rollup_sample (day_s, anomalous, rank, score, features) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let mut days: Vec<(u64, bool)> = Vec::new();
        for sampled in self.sample.values() {
            let features: Vec<u8> = sampled.row.iter().flat_map(|v| v.to_le_bytes()).collect();
            statement.execute(params![
                integer(sampled.day),
                sampled.anomalous,
                integer(sampled.rank),
                f64::from(sampled.score),
                features
            ])?;
            days.push((sampled.day, sampled.anomalous));
        }
        days.dedup();
        for (day, anomalous) in days {
            debug_assert!(day.is_multiple_of(DAY_SECONDS));
            connection
                .prepare_cached(
                    "DELETE FROM rollup_sample WHERE day_s = ?1 AND anomalous = ?2 AND rank >
                        (SELECT rank FROM rollup_sample WHERE day_s = ?1 AND anomalous = ?2
                         ORDER BY rank LIMIT 1 OFFSET ?3)",
                )?
                .execute(params![integer(day), anomalous, SAMPLE_ROWS as i64 - 1])?;
        }
        Ok(())
    }
}
