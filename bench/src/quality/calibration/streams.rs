//! Benign rows with their times, and whom they came from.

use std::{collections::HashMap, io::BufRead as _, path::Path};

use flate2::read::MultiGzDecoder;
use model::{Column, Rows, Schema, Transform};
use sensor::{
    features,
    flow::key_address,
    pipeline::{self, Batch},
    zeek::{self, ConnLog},
};

use super::super::{Part, QualityError};

/// Rows of the set of 1999, in nanoseconds from one to the next: it has no times, and its 494,021 rows are taken as evenly spread over the
/// seven weeks of five days of which it is a tenth (Lippmann et al., Evaluating intrusion detection systems, DISCEX 2000).
const KDD_ROW_NS: u64 = 35 * 86_400 * 1_000_000_000 / 494_021;

/// Benign rows in the order of time.
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) part: Part,
    pub(super) schema: Schema,
    pub(super) rows: Rows,
    /// When each was due.
    pub(super) times: Vec<u64>,
    /// Whom each came from, as keys of flows hold addresses; empty where nobody knows.
    pub(super) sources: Vec<[u8; 16]>,
}

impl Stream {
    /// The same rows, as if they had come from so many hosts, a few of which talk more than the others (Zipf): for sets that do not say whom they came from.
    pub(super) fn of_hosts(&self, count: u32) -> Self {
        let weights: Vec<f64> = (1..=count)
            .scan(0.0, |sum, rank| {
                *sum += 1.0 / f64::from(rank);
                Some(*sum)
            })
            .collect();
        let total = weights.last().copied().unwrap_or_default();
        let source = |draw: u64| {
            let at = total * (draw >> 11) as f64 / (1_u64 << 53) as f64;
            (weights.partition_point(|sum| *sum < at) as u128).to_be_bytes()
        };
        let rows = 0..self.rows.len() as u64;
        Self {
            name: format!("{} of {count} hosts", self.name),
            schema: self.schema.clone(),
            rows: self.rows.clone(),
            times: self.times.clone(),
            sources: rows.map(|row| source(super::mix(row))).collect(),
            part: self.part,
        }
    }
}

/// Normal rows in file order.
pub(super) fn kdd_normals(path: &Path) -> Result<Stream, QualityError> {
    let file = std::fs::File::open(path).map_err(|_| QualityError::Absent(path.to_owned()))?;
    let bad = |what: String| QualityError::Data {
        path: path.to_owned(),
        what,
    };
    const NAMES: [usize; 3] = [1, 2, 3];
    let columns = (0..41).map(|at| {
        let transform = match at {
            1..=3 => Transform::Categorical,
            24..=30 | 33..=40 => Transform::Linear,
            _ => Transform::SignedLog,
        };
        Column::new(format!("f{at}"), "1", transform)
    });
    let schema = Schema::new(columns.collect());
    let mut rows = Rows::with_columns(41);
    let mut names: [HashMap<String, f32>; 41] = std::array::from_fn(|_| HashMap::new());
    let mut values = Vec::with_capacity(41);
    let (mut times, mut now) = (Vec::new(), 0);
    for line in std::io::BufReader::new(MultiGzDecoder::new(file)).lines() {
        let line = line.map_err(|error| bad(error.to_string()))?;
        now += KDD_ROW_NS;
        let Some(line) = line.strip_suffix("normal.") else {
            continue;
        };
        values.clear();
        for (at, field) in line.trim_end_matches(',').split(',').enumerate() {
            if at >= 41 {
                return Err(bad("more than 41 features".to_owned()));
            }
            let value = if NAMES.contains(&at) {
                let next = names[at].len() as f32;
                *names[at].entry(field.to_owned()).or_insert(next)
            } else {
                field
                    .parse()
                    .map_err(|_| bad(format!("`{field}` is no number")))?
            };
            values.push(value);
        }
        if values.len() != 41 {
            return Err(bad(format!("{} features", values.len())));
        }
        rows.push(&values);
        times.push(now);
    }
    Ok(Stream {
        name: "kdd99 normals".to_owned(),
        part: Part::ChosenOn,
        schema,
        rows,
        times,
        sources: Vec::new(),
    })
}

/// Rows of the benign capture in order, and the records they belong to.
pub(super) fn iot_rows(path: &Path) -> Result<(Stream, Batch), QualityError> {
    if !path.exists() {
        return Err(QualityError::Absent(path.to_owned()));
    }
    let settings = pipeline::Settings {
        flow: sensor::flow::Settings {
            checkpoints: true,
            ..sensor::flow::Settings::default()
        },
        ..pipeline::Settings::default()
    };
    let mut all = Batch::new();
    let inputs = [path.to_owned()];
    pipeline::flows(&inputs, &settings, &mut |_| {}, &mut |batch| {
        for flow in batch.drain(..).filter(|(_, row)| features::is_judged(row)) {
            all.push(flow);
        }
        Ok(())
    })
    .map_err(|error| QualityError::Sensor(error.to_string()))?;
    let mut rows = Rows::with_columns(features::MODEL_COUNT);
    let mut times = Vec::with_capacity(all.len());
    let mut sources = Vec::with_capacity(all.len());
    for (record, row) in &all {
        rows.push(&features::model_row(row));
        times.push(record.due);
        sources.push(record.key.addresses[record.originator]);
    }
    let stream = Stream {
        name: "iot-sentinel".to_owned(),
        // The credit of calm stretches was enlarged after a look at it.
        part: Part::ChosenOn,
        schema: features::schema(),
        rows,
        times,
        sources,
    };
    Ok((stream, all))
}

/// Connections of the benign day of Zeek in the order in which the product judges them.
pub(super) fn zeek_day(path: &Path) -> Result<Stream, QualityError> {
    let failed = |error: zeek::LogError| QualityError::Sensor(error.to_string());
    if !path.exists() {
        return Err(QualityError::Absent(path.to_owned()));
    }
    let mut log = ConnLog::open(path).map_err(failed)?;
    let (mut past, mut all) = (zeek::Stream::new(), Vec::new());
    while let Some(conn) = log.next_conn().map_err(failed)? {
        past.push(conn, &mut all);
    }
    past.flush(&mut all);
    let mut rows = Rows::with_columns(zeek::schema().len());
    for featured in &all {
        zeek::push_model_row(&featured.row, &mut rows.values);
    }
    Ok(Stream {
        name: "zeek, a benign day".to_owned(),
        part: Part::Confirmed,
        schema: zeek::schema(),
        rows,
        times: all.iter().map(|featured| featured.conn.end()).collect(),
        sources: all
            .iter()
            .map(|featured| key_address(featured.conn.source))
            .collect(),
    })
}
