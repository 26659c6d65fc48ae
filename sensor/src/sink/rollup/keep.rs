//! How much of the sums is kept: each hour its largest entries, older time in coarser steps.

use rusqlite::{Connection, params};
use sensor_ebpf::flow::TimeNs;

use super::{DAY_SECONDS, HOUR_SECONDS, SECOND_NS};

/// A table with its key, what entries compete with each other, and how many of an hour are kept by size, and as many by how
/// anomalous they are. Those beyond are summed under the empty name once they are half as many again.
struct Table {
    name: &'static str,
    key: [&'static str; 2],
    rivals: &'static str,
    most: i64,
}

const TABLES: [Table; 2] = [
    Table {
        name: "rollup_mix",
        key: ["what", "name"],
        rivals: "what",
        most: 150,
    },
    Table {
        name: "rollup_pairs",
        key: ["src", "dst"],
        rivals: "hour_s",
        most: 500,
    },
];
/// Hours in steps of ten seconds, of an hour; before that it is ten minutes, and a day.
const FINE_HOURS: u64 = 48;
const HOURLY_HOURS: u64 = 14 * 24;
const COARSE_SECONDS: u64 = 600;

/// How long sums are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Newest traffic.
    pub now_ns: TimeNs,
    /// Everything before is forgotten.
    pub oldest_ns: TimeNs,
}

const SUMS: &str = "sum(flows), sum(anomalous), sum(failed), sum(packets), sum(sent), sum(received), max(score), max(last_ns)";

const ADD: &str = "ON CONFLICT DO UPDATE SET flows = flows + excluded.flows, anomalous = anomalous + excluded.anomalous,
    failed = failed + excluded.failed, packets = packets + excluded.packets, sent = sent + excluded.sent,
    received = received + excluded.received, score = max(score, excluded.score), last_ns = max(last_ns, excluded.last_ns)";

/// Sums the smallest entries of an hour that has too many under the empty name. Ports of a scan are many and small: they must
/// not push out what the traffic mostly is, nor the other way round.
pub(super) fn prune(connection: &Connection, hour_s: i64) -> rusqlite::Result<()> {
    for Table {
        name,
        key: [first, second],
        rivals,
        most,
    } in TABLES
    {
        let crowd: Option<i64> = connection
            .prepare_cached(&format!(
                "SELECT max(entries) FROM (SELECT count(*) AS entries FROM {name} WHERE hour_s = ?1 GROUP BY {rivals})"
            ))?
            .query_row([hour_s], |row| row.get(0))?;
        if crowd.unwrap_or(0) <= 3 * most {
            continue;
        }
        let small = format!(
            "hour_s = ?1 AND {second} <> '' AND ({first}, {second}) NOT IN (SELECT {first}, {second} FROM (SELECT {first}, {second},
                row_number() OVER (PARTITION BY {rivals} ORDER BY flows DESC, {first}, {second}) AS by_size,
                row_number() OVER (PARTITION BY {rivals} ORDER BY anomalous DESC, score DESC, {first}, {second}) AS by_oddity
                FROM {name} WHERE hour_s = ?1 AND {second} <> '') WHERE by_size <= ?2 OR by_oddity <= ?2)"
        );
        // The one name by which the others go: an entry whose first column is a number stays apart.
        let other = if first == "src" { "''" } else { first };
        connection
            .prepare_cached(&format!(
                "INSERT INTO {name} SELECT hour_s, {other}, '', {SUMS} FROM {name} WHERE {small} GROUP BY 1, 2 {ADD}"
            ))?
            .execute(params![hour_s, most])?;
        connection
            .prepare_cached(&format!("DELETE FROM {name} WHERE {small}"))?
            .execute(params![hour_s, most])?;
    }
    Ok(())
}

/// Forgets what is too old, and makes what is old coarser. For the writer, now and then.
///
/// # Errors
/// What SQLite says.
pub fn expire(connection: &Connection, kept: Kept) -> rusqlite::Result<()> {
    let seconds = |ns: u64| i64::try_from(ns / SECOND_NS).unwrap_or(i64::MAX);
    let oldest = seconds(kept.oldest_ns);
    connection.execute("DELETE FROM rollup_slots WHERE start_s < ?1", [oldest])?;
    for table in ["rollup_mix", "rollup_pairs", "rollup_scores"] {
        connection.execute(&format!("DELETE FROM {table} WHERE hour_s < ?1"), [oldest])?;
    }
    connection.execute("DELETE FROM rollup_sample WHERE day_s < ?1", [oldest])?;
    let now = kept.now_ns / SECOND_NS;
    let fine = now.saturating_sub(FINE_HOURS * HOUR_SECONDS);
    coarsen_slots(connection, (fine - fine % DAY_SECONDS) as i64)?;
    let hourly = now.saturating_sub(HOURLY_HOURS * HOUR_SECONDS);
    coarsen_hours(connection, (hourly - hourly % DAY_SECONDS) as i64)
}

fn coarsen_slots(connection: &Connection, before: i64) -> rusqlite::Result<()> {
    let fine = format!("start_s < {before} AND start_s % {COARSE_SECONDS} <> 0");
    connection.execute(
        &format!(
            "INSERT INTO rollup_slots
             SELECT start_s - start_s % {COARSE_SECONDS}, sum(flows), sum(anomalous), sum(failed), sum(scored), sum(packets),
                sum(sent), sum(received), sum(score_sum), max(score_max), sum(surprise), sum(low), sum(medium), sum(high),
                sum(critical)
             FROM rollup_slots WHERE {fine} GROUP BY 1
             ON CONFLICT DO UPDATE SET flows = flows + excluded.flows, anomalous = anomalous + excluded.anomalous,
                failed = failed + excluded.failed, scored = scored + excluded.scored, packets = packets + excluded.packets,
                sent = sent + excluded.sent, received = received + excluded.received,
                score_sum = score_sum + excluded.score_sum, score_max = max(score_max, excluded.score_max),
                surprise = surprise + excluded.surprise, low = low + excluded.low, medium = medium + excluded.medium,
                high = high + excluded.high, critical = critical + excluded.critical"
        ),
        [],
    )?;
    connection.execute(&format!("DELETE FROM rollup_slots WHERE {fine}"), [])?;
    Ok(())
}

fn coarsen_hours(connection: &Connection, before: i64) -> rusqlite::Result<()> {
    let fine = format!("hour_s < {before} AND hour_s % {DAY_SECONDS} <> 0");
    let days =
        format!("SELECT DISTINCT hour_s - hour_s % {DAY_SECONDS} FROM rollup_mix WHERE {fine}");
    let days: Vec<i64> = connection
        .prepare(&days)?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for Table {
        name,
        key: [first, second],
        ..
    } in TABLES
    {
        connection.execute(
            &format!(
                "INSERT INTO {name} SELECT hour_s - hour_s % {DAY_SECONDS}, {first}, {second}, {SUMS} FROM {name}
                 WHERE {fine} GROUP BY 1, 2, 3 {ADD}"
            ),
            [],
        )?;
        connection.execute(&format!("DELETE FROM {name} WHERE {fine}"), [])?;
    }
    connection.execute(
        &format!(
            "INSERT INTO rollup_scores SELECT hour_s - hour_s % {DAY_SECONDS}, bin, sum(flows) FROM rollup_scores
             WHERE {fine} GROUP BY 1, 2 ON CONFLICT DO UPDATE SET flows = flows + excluded.flows"
        ),
        [],
    )?;
    connection.execute(&format!("DELETE FROM rollup_scores WHERE {fine}"), [])?;
    for day in days {
        prune(connection, day)?;
    }
    Ok(())
}
