//! `alerts suppress` and `alerts unsuppress`.

use serde_json::{Value, json};

use super::{
    super::{
        fault::{Fault, code},
        setup::stdout,
        sheet::{self, Column, Sheet, moment, when},
    },
    args::{Suppress, Unsuppress},
    whole,
};
use crate::{
    score::{HostMatch, count, several},
    sink::{
        store::{Actions, NewSuppression, Suppression},
        table::{Align, Table},
    },
    time::{self, Stamp},
};

/// A moment that may lie ahead: a date or a time; a length of time would mean the past.
fn ahead(flag: &str, text: &str) -> Result<u64, Fault> {
    let wrong = |what: String| Fault::new(code::USAGE, format!("{flag} {what}"));
    if time::parse_duration(text).is_ok() {
        return Err(wrong(format!(
            "{text}: write a date or a time in UTC, for example 2026-12-31 or 2026-11-22T02:00:00Z (or use --for)"
        )));
    }
    moment(text).map_err(wrong)
}

/// What is suppressed, in words.
fn scope(host: Option<&HostMatch>, kind: Option<&str>) -> String {
    match (host, kind) {
        (None, None) => "every incident".to_owned(),
        (Some(host), None) => format!("every incident about {host}"),
        (None, Some(kind)) => format!("{kind}, whoever it is about"),
        (Some(host), Some(kind)) => format!("{kind} about {host}"),
    }
}

pub(super) fn suppress(args: &Suppress) -> Result<u8, Fault> {
    let (setup, reader) = sheet::open(&args.common, args.format)?;
    let (host, kind) = match &args.id {
        Some(id) => {
            let ids = whole(&reader, std::slice::from_ref(id))?;
            let id = ids.first().map_or("", String::as_str);
            let entry = reader
                .incident(id)?
                .ok_or_else(|| Fault::new(code::USAGE, format!("`{id}`: no such incident")))?;
            let host = HostMatch::parse(&entry.alert.host)
                .unwrap_or_else(|_| HostMatch::Name(entry.alert.host.to_lowercase()));
            (Some(host), Some(entry.alert.kind))
        }
        None => {
            let kind = args.kind.as_ref().map(|kind| sheet::kind(&reader, kind));
            (args.host.clone(), kind.transpose()?)
        }
    };
    if host.is_none() && kind.is_none() && !args.everything {
        return Err(Fault::new(
            code::USAGE,
            "suppress what? Name an incident's id, --host, --kind, or --everything",
        ));
    }
    let from = args
        .from
        .as_deref()
        .map(|text| ahead("--from", text))
        .transpose()?;
    let until = args
        .until
        .as_deref()
        .map(|text| ahead("--until", text))
        .transpose()?;
    let lasting = args.lasting.map(|lasting| {
        let length = u64::try_from(lasting.as_nanos()).unwrap_or(u64::MAX);
        from.unwrap_or_else(time::now).saturating_add(length)
    });
    let until = until.or(lasting);
    if args.everything && until.is_none() {
        return Err(Fault::new(
            code::USAGE,
            "--everything for ever would switch the sensor off: say until when, with --for or --until",
        ));
    }
    if until.is_some_and(|until| until <= from.unwrap_or_else(time::now)) {
        return Err(Fault::new(
            code::USAGE,
            "that time is over before it begins",
        ));
    }
    drop(reader);
    let mut actions = Actions::open(&setup.store_path())?;
    let made = actions.suppress(&NewSuppression {
        host,
        kind,
        reason: args.reason.clone().unwrap_or_default(),
        from_ns: from.unwrap_or(0),
        until_ns: until,
        by: args.who.name(),
    })?;
    let end = made.until_ns.map_or_else(
        || "until it is removed".to_owned(),
        |until| format!("until {} UTC", when(until)),
    );
    setup.note(&format!(
        "suppression {}: {} {end}; {} suppressed (undo: anomaly-detect alerts unsuppress {})",
        made.id,
        scope(made.host.as_ref(), made.kind.as_deref()),
        several(made.incidents as f64, "stored incident"),
        made.id
    ));
    Ok(0)
}

pub(super) fn unsuppress(args: &Unsuppress) -> Result<u8, Fault> {
    let (setup, reader) = sheet::open(&args.common, None)?;
    drop(reader);
    let mut actions = Actions::open(&setup.store_path())?;
    for number in &args.numbers {
        let heard = actions.unsuppress(*number, &args.who.name())?;
        setup.note(&format!(
            "suppression {number} removed; {} heard of again",
            several(heard as f64, "incident")
        ));
    }
    Ok(0)
}

/// A suppression, and whether it is in force.
type Listed = (Suppression, bool);

const COLUMNS: [Column<Listed>; 13] = [
    ("number", |(one, _)| json!(one.id)),
    ("host", |(one, _)| {
        json!(one.host.as_ref().map(ToString::to_string))
    }),
    ("kind", |(one, _)| json!(one.kind)),
    ("reason", |(one, _)| json!(one.reason)),
    ("in_force", |(_, in_force)| json!(in_force)),
    ("from_time", |(one, _)| {
        stamp(Some(one.from_ns).filter(|from| *from > 0))
    }),
    ("until_time", |(one, _)| stamp(one.until_ns)),
    ("created_time", |(one, _)| stamp(Some(one.created_ns))),
    ("created_by", |(one, _)| json!(one.created_by)),
    ("incidents", |(one, _)| json!(one.incidents)),
    ("last_time", |(one, _)| stamp(one.last_ns)),
    ("removed_time", |(one, _)| stamp(one.removed_ns)),
    ("removed_by", |(one, _)| json!(one.removed_by)),
];

fn stamp(at: Option<u64>) -> Value {
    json!(at.map(|at| Stamp(at).to_string()))
}

pub(super) fn list(args: &Suppress) -> Result<u8, Fault> {
    let (setup, reader) = sheet::open(&args.common, args.format)?;
    let now = time::now();
    let mut table = Table::new(&[
        ("number", Align::Right),
        ("what", Align::Left),
        ("from", Align::Left),
        ("until", Align::Left),
        ("incidents", Align::Right),
        ("by", Align::Left),
        ("reason", Align::Left),
    ]);
    let all: Vec<Listed> = (reader.suppressions(args.past)?.into_iter())
        .map(|one| {
            let in_force = one.is_in_force(now);
            (one, in_force)
        })
        .collect();
    for (one, _) in &all {
        let until = match (one.removed_ns, one.until_ns) {
            (Some(removed), _) => format!("removed {}", when(removed)),
            (None, Some(until)) => when(until),
            (None, None) => "for good".to_owned(),
        };
        table.row([
            one.id.to_string(),
            scope(one.host.as_ref(), one.kind.as_deref()),
            if one.from_ns == 0 {
                "always".to_owned()
            } else {
                when(one.from_ns)
            },
            until,
            count(one.incidents as f64),
            one.created_by.clone(),
            one.reason.clone(),
        ]);
    }
    let sheet = Sheet {
        table,
        rows: &all,
        columns: &COLUMNS,
        beside: &[],
        empty: "nothing is suppressed",
    };
    sheet.write(&stdout(), setup.config.output.format, &|_, _, _, text| {
        text.to_owned()
    })?;
    for window in &setup.config.alerts.maintenance {
        setup.note(&format!(
            "maintenance window of the configuration: {window} UTC"
        ));
    }
    Ok(0)
}
