//! Incidents, with what became of them.

use rusqlite::{Connection, OptionalExtension, params};
use sensor_ebpf::flow::TimeNs;

use super::{
    life::{Change, Life, State},
    query::Query,
    suppressions,
    value::{integer, natural, severity_of},
};
use crate::{
    score::{HostMatch, Mute, Mutes, Severity},
    sink::alert::{Alert, Stage},
};

/// An incident that is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentEntry {
    /// As it was told last.
    pub alert: Alert,
    /// Where it is in its life.
    pub state: State,
    /// How often it was told.
    pub told: u64,
    /// Whether no more packets of it are expected.
    pub over: bool,
    /// Number of the suppression that covers it; 0 for a maintenance window.
    pub suppression: Option<i64>,
    /// When its state changed; 0 for never.
    pub state_ns: TimeNs,
    /// Who changed it; empty for the sensor.
    pub state_by: String,
    /// What that person noted.
    pub note: String,
    /// When it was written last, by the clock on the wall.
    pub updated_ns: TimeNs,
}

/// Something that happened to an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifeEvent {
    /// When, by the clock on the wall.
    pub at_ns: TimeNs,
    /// What, in a word or two.
    pub what: String,
    /// Who did it; empty for the sensor.
    pub by: String,
    /// What that person noted.
    pub note: String,
}

/// Incidents alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TallyEntry {
    /// Where they are in their life.
    pub state: State,
    /// How grave they are.
    pub severity: Severity,
    /// Name of their kind.
    pub kind: String,
    /// How many.
    pub incidents: u64,
    /// Flows or events in them.
    pub count: u64,
}

/// In which order incidents are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum IncidentOrder {
    /// Newest packet first.
    #[default]
    Last,
    /// Most evidence first.
    Evidence,
    /// Most flows or events first.
    Count,
}

/// Which incidents are wanted; nothing set wants all.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentFilter {
    /// In one of these states; none for any but [`State::Untold`], and for any at all where `ids` are given.
    pub states: Vec<State>,
    /// At least as grave.
    pub least: Severity,
    /// Name of their kind.
    pub kind: Option<String>,
    /// The host they are about.
    pub host: Option<HostMatch>,
    /// Last packet at this moment or later.
    pub since_ns: TimeNs,
    /// First packet before this moment.
    pub until_ns: Option<TimeNs>,
    /// Id of an ATT&CK technique.
    pub technique: Option<String>,
    /// Ids; none for any.
    pub ids: Vec<String>,
    /// Order of the answers.
    pub order: IncidentOrder,
    /// Answers at most.
    pub limit: u32,
    /// Answers left out before the first.
    pub offset: u32,
}

impl Default for IncidentFilter {
    fn default() -> Self {
        Self {
            states: Vec::new(),
            least: Severity::Info,
            kind: None,
            host: None,
            since_ns: 0,
            until_ns: None,
            technique: None,
            ids: Vec::new(),
            order: IncidentOrder::default(),
            limit: 100,
            offset: 0,
        }
    }
}

const LIFE: &str = "state, before, grave_then, mute";

fn life(row: &rusqlite::Row<'_>) -> rusqlite::Result<Life> {
    Ok(Life {
        state: State::of(row.get("state")?),
        before: State::of(row.get("before")?),
        then: severity_of(row.get("grave_then")?),
        mute: row.get("mute")?,
    })
}

/// Writes the life of an incident and what changed in it.
fn write_life(
    connection: &Connection,
    id: &str,
    life: &Life,
    change: Option<Change>,
    (by, note, now): (&str, &str, TimeNs),
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE incidents SET state = ?2, before = ?3, grave_then = ?4, mute = ?5 WHERE id = ?1",
        )?
        .execute(params![
            id,
            life.state as i64,
            life.before as i64,
            life.then as i64,
            life.mute
        ])?;
    let Some(change) = change else {
        return Ok(());
    };
    connection
        .prepare_cached(
            "UPDATE incidents SET state_ns = ?2, state_by = ?3, note = ?4, updated_ns = ?2 WHERE id = ?1",
        )?
        .execute(params![id, integer(now), by, note])?;
    if let (Change::Suppressed, Some(mute)) = (change, life.mute) {
        suppressions::count(connection, mute, now)?;
    }
    happened(connection, id, change.name(), (by, note, now))
}

fn happened(
    connection: &Connection,
    id: &str,
    what: &str,
    (by, note, now): (&str, &str, TimeNs),
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO life (incident, at_ns, what, by, note) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![id, integer(now), what, by, note])
        .map(drop)
}

/// Takes in what is told of an incident, at this moment by the clock on the wall: its numbers replace those before, its life goes
/// on. `captured`: it was found in a capture, not while watching. Inside of a transaction.
pub(super) fn hear(
    connection: &Connection,
    alert: &Alert,
    mutes: &Mutes,
    captured: bool,
    now: TimeNs,
) -> rusqlite::Result<()> {
    let before = connection
        .prepare_cached(
            "SELECT severity, state, before, grave_then, mute FROM incidents WHERE id = ?1",
        )?
        .query_row([&alert.id], |row| {
            Ok((severity_of(row.get("severity")?), life(row)?))
        })
        .optional()?;
    let text = serde_json::to_string(alert)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    // Of a network the first address: filters by prefix find it.
    let host = HostMatch::parse(&alert.host).ok();
    let key = host.as_ref().and_then(HostMatch::first);
    connection
        .prepare_cached(
            "INSERT INTO incidents (id, source, kind, severity, host, host_key, evidence, first_ns, last_ns, count, told, over,
                captured, updated_ns, alert)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, severity = excluded.severity, host = excluded.host,
                host_key = excluded.host_key, evidence = excluded.evidence, first_ns = excluded.first_ns,
                last_ns = excluded.last_ns, count = excluded.count,
                told = CASE WHEN excluded.captured THEN max(told, excluded.told) ELSE told + excluded.told END,
                over = excluded.over, updated_ns = excluded.updated_ns, alert = excluded.alert",
        )?
        .execute(params![
            alert.id,
            alert.source.name(),
            alert.kind,
            alert.severity as i64,
            alert.host,
            key,
            alert.evidence,
            integer(alert.first_ns),
            integer(alert.last_ns),
            integer(alert.count),
            alert.stage.is_telling(),
            captured || alert.stage == Stage::Over,
            captured,
            integer(now),
            text
        ])?;
    let mute = mutes.of(&alert.host, &alert.kind, alert.last_ns);
    let was = before.map_or_else(Life::default, |(_, life)| life);
    let mut life = was;
    if alert.stage.is_telling() {
        life.tell();
    } else if alert.stage == Stage::Untold && before.is_none() {
        life = Life::untold();
    }
    let change = life.hear(alert.severity, mute.map(|mute: &Mute| mute.id));
    if life != was {
        write_life(connection, &alert.id, &life, change, ("", "", now))?;
    }
    let what = match (&before, alert.stage) {
        (_, Stage::New) if !captured || before.is_none() => Some("told"),
        (Some((severity, _)), Stage::Grown) if alert.severity > *severity => {
            Some("told again: graver")
        }
        (_, Stage::Grown) => Some("told again: fourfold"),
        (Some(_), Stage::Over) => Some("over"),
        _ => None,
    };
    match what {
        Some(what) => {
            let note = format!("{} flows or events, {}", alert.count, alert.severity.name());
            happened(connection, &alert.id, what, ("", &note, now))
        }
        None => Ok(()),
    }
}

/// Brings the life of an incident in line with the mute that covers it now, or none. Answers whether that changed anything.
pub(super) fn hear_again(
    connection: &Connection,
    id: &str,
    mute: Option<i64>,
    now: TimeNs,
) -> rusqlite::Result<bool> {
    let (severity, mut life) = connection
        .prepare_cached(
            "SELECT severity, state, before, grave_then, mute FROM incidents WHERE id = ?1",
        )?
        .query_row([id], |row| {
            Ok((severity_of(row.get("severity")?), life(row)?))
        })?;
    let was = life;
    let change = life.hear(severity, mute);
    if life != was {
        write_life(connection, id, &life, change, ("", "", now))?;
    }
    Ok(change.is_some())
}

/// What a person does with incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Acknowledge,
    Close,
    Reopen,
}

/// A person does something with an incident. Answers whether that changed anything; `None` where there is no such incident.
pub(super) fn act(
    connection: &Connection,
    id: &str,
    deed: Deed,
    (by, note, now): (&str, &str, TimeNs),
) -> rusqlite::Result<Option<bool>> {
    let found = connection
        .prepare_cached(
            "SELECT severity, state, before, grave_then, mute FROM incidents WHERE id = ?1",
        )?
        .query_row([id], |row| {
            Ok((severity_of(row.get("severity")?), life(row)?))
        })
        .optional()?;
    let Some((severity, mut life)) = found else {
        return Ok(None);
    };
    let change = match deed {
        Deed::Acknowledge => life.acknowledge(severity),
        Deed::Close => life.close(severity),
        Deed::Reopen => life.reopen(),
    };
    if change.is_some() {
        write_life(connection, id, &life, change, (by, note, now))?;
    }
    Ok(Some(change.is_some()))
}

/// Incidents that go on and that somebody deals with, or has dealt with, with how grave they were then.
pub(super) fn handled(connection: &Connection) -> rusqlite::Result<Vec<(String, Severity)>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, grave_then FROM incidents WHERE state IN (1, 2) AND over = 0 ORDER BY last_ns DESC LIMIT 10000",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, severity_of(row.get(1)?))))?;
    rows.collect()
}

/// What was not over and has not moved since this traffic time is over now: the watch that would have said so is gone.
pub(super) fn end_those_before(connection: &Connection, before: TimeNs) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("UPDATE incidents SET over = 1 WHERE over = 0 AND last_ns < ?1")?
        .execute([integer(before)])
}

const COLUMNS: &str = "alert, told, over, state_ns, state_by, note, updated_ns";

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<IncidentEntry> {
    let text: String = row.get("alert")?;
    let alert = serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })?;
    let life = life(row)?;
    Ok(IncidentEntry {
        alert,
        state: life.state,
        told: natural(row.get("told")?),
        over: row.get("over")?,
        suppression: life.mute,
        state_ns: natural(row.get("state_ns")?),
        state_by: row.get("state_by")?,
        note: row.get("note")?,
        updated_ns: natural(row.get("updated_ns")?),
    })
}

fn conditions(wanted: &IncidentFilter) -> Query {
    let mut query = Query::new();
    if !wanted.ids.is_empty() {
        query.one_of("id", wanted.ids.iter().map(|id| id.clone().into()));
    }
    if !wanted.states.is_empty() {
        query.one_of(
            "state",
            wanted.states.iter().map(|state| (*state as i64).into()),
        );
    } else if wanted.ids.is_empty() {
        query.and("state <> ?", State::Untold as i64);
    }
    if wanted.least > Severity::Info {
        query.and("severity >= ?", wanted.least as i64);
    }
    if let Some(kind) = &wanted.kind {
        query.and("kind = ?", kind.clone());
    }
    match &wanted.host {
        Some(HostMatch::Name(name)) => query.and("lower(host) = ?", name.clone()),
        Some(range) => query.host("host_key", range),
        None => {}
    }
    if wanted.since_ns > 0 {
        query.and("last_ns >= ?", integer(wanted.since_ns));
    }
    if let Some(until) = wanted.until_ns {
        query.and("first_ns < ?", integer(until));
    }
    if let Some(technique) = &wanted.technique {
        // As the alert is written: an id is letters, digits and a point.
        query.and("instr(alert, ?) > 0", format!("{{\"id\":\"{technique}\""));
    }
    query
}

/// Incidents that are wanted, in their order.
pub(super) fn select(
    connection: &Connection,
    wanted: &IncidentFilter,
) -> rusqlite::Result<Vec<IncidentEntry>> {
    let query = conditions(wanted);
    let order = match wanted.order {
        IncidentOrder::Last => "last_ns DESC, id",
        IncidentOrder::Evidence => "evidence DESC, last_ns DESC, id",
        IncidentOrder::Count => "count DESC, last_ns DESC, id",
    };
    // Which, first: what is sorted is then short, and only what is answered is read whole.
    let sql = format!(
        "SELECT {COLUMNS}, {LIFE} FROM incidents WHERE id IN
            (SELECT id FROM incidents {} ORDER BY {order} LIMIT {} OFFSET {}) ORDER BY {order}",
        query.clause(),
        wanted.limit,
        wanted.offset
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(query.parameters(), entry)?.collect()
}

/// Ids that begin so, two at most.
pub(super) fn beginning(connection: &Connection, beginning: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM incidents WHERE id >= ?1 AND id < ?2 ORDER BY id = ?1 DESC, id LIMIT 2",
    )?;
    // Ids are hexadecimal: `g` is behind all of them.
    let rows = statement.query_map([beginning, &format!("{beginning}g")], |row| row.get(0))?;
    let mut found: Vec<String> = rows.collect::<Result<_, _>>()?;
    if found.first().is_some_and(|first| first == beginning) {
        found.truncate(1);
    }
    Ok(found)
}

/// What happened to an incident, oldest first.
pub(super) fn events(connection: &Connection, id: &str) -> rusqlite::Result<Vec<LifeEvent>> {
    let mut statement = connection
        .prepare_cached("SELECT at_ns, what, by, note FROM life WHERE incident = ?1 ORDER BY id")?;
    let rows = statement.query_map([id], |row| {
        Ok(LifeEvent {
            at_ns: natural(row.get(0)?),
            what: row.get(1)?,
            by: row.get(2)?,
            note: row.get(3)?,
        })
    })?;
    rows.collect()
}

/// Incidents with a packet at this moment or later, by state, severity and kind.
pub(super) fn tally(connection: &Connection, since: TimeNs) -> rusqlite::Result<Vec<TallyEntry>> {
    let mut statement = connection.prepare_cached(
        "SELECT state, severity, kind, count(*), sum(count) FROM incidents WHERE last_ns >= ?1
         GROUP BY state, severity, kind ORDER BY state, severity DESC, kind",
    )?;
    let rows = statement.query_map([integer(since)], |row| {
        Ok(TallyEntry {
            state: State::of(row.get(0)?),
            severity: severity_of(row.get(1)?),
            kind: row.get(2)?,
            incidents: natural(row.get(3)?),
            count: natural(row.get(4)?),
        })
    })?;
    rows.collect()
}
