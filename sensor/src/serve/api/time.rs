//! When things happen: traffic, scores, and the hours of the week.

use rusqlite::params;
use serde_json::{Value, json};

use super::{
    super::{
        pool::Fault,
        query::{Parameters, Window, fact, rows},
    },
    overview::slots,
};
use crate::sink::store::Reader;

pub(super) fn answer(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let window = Window::of(parameters, reader.connection())?;
    // Minutes east of Greenwich, of the reader: an hour of the week is one where they live.
    let offset = parameters
        .number::<i64>("offset")?
        .unwrap_or(0)
        .clamp(-1440, 1440)
        * 60;
    // 1970-01-01 was a Thursday; with Monday as 0 that is 3.
    let week = rows(
        reader.connection(),
        "SELECT (start_s + ?3 + 3 * 86400) / 3600 % 168 AS hour, sum(flows), sum(anomalous), sum(sent + received),
            count(DISTINCT (start_s + ?3) / 3600)
         FROM rollup_slots WHERE start_s >= ?1 AND start_s < ?2 GROUP BY hour ORDER BY hour",
        params![window.from_s, window.to_s, offset],
    )?;
    Ok(json!({
        "window": window.value(),
        "slots": slots(reader, &window)?,
        "week": week,
        "model": fact(reader.connection(), "model")?,
    }))
}
