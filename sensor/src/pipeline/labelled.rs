//! Labelled tables as a classifier is trained on them.

use std::{collections::BTreeMap, path::PathBuf};

use ::csv::StringRecord;
use model::{Column, Labelled, Rows, Schema};

use super::foreign::{Encoder, Foreign, ForeignError, number, transform};
use crate::{
    features,
    score::rules::{Rules, Talk},
    sink::csv::VERDICT_COLUMNS,
    time::Stamp,
};

/// Where labels come from.
#[derive(Debug)]
pub enum Labels {
    /// A column of the table.
    Column(String),
    /// Rules on addresses and times.
    Rules(Rules),
}

/// Rows with their classes, the first of which is ordinary traffic.
#[derive(Debug)]
pub struct LabelledTable {
    /// What the columns mean.
    pub schema: Schema,
    /// The rows.
    pub rows: Rows,
    /// Class of each row.
    pub classes: Vec<u32>,
    /// Names of the classes.
    pub names: Vec<String>,
    /// Words behind the numbers of text columns, by column.
    pub words: Vec<Vec<String>>,
    /// Columns that were left out: labels, and what names a flow, an address or a moment.
    pub left_out: Vec<String>,
}

/// Columns that say which flow it is, not what it is like, and those that tell the answer. A model that learns them
/// learns the experiment: who attacked, and when.
const TELLING: &[&str] = &[
    "id",
    "flow id",
    "flow_id",
    "community_id",
    "uid",
    "src ip",
    "source ip",
    "srcip",
    "src_ip",
    "dst ip",
    "destination ip",
    "dstip",
    "dst_ip",
    "src port",
    "source port",
    "sport",
    "src_port",
    "timestamp",
    "ts",
    "stime",
    "ltime",
    "start_time",
    "end_time",
    "label",
    "attack_cat",
    "attempted category",
    "class",
    "difficulty",
    "kind",
    "detailed-label",
];

/// Words of a column that are told apart; rarer ones count as never seen.
const MOST_WORDS: usize = 1024;

impl LabelledTable {
    /// Reads tables of one kind. A table that holds every feature of this program is read as such; of others, every
    /// column is taken that does not tell which flow it is, or what it was labelled, or is among `ignored`.
    ///
    /// # Errors
    /// Unreadable tables, different ones, or a column that is not there.
    pub fn read(
        paths: &[PathBuf],
        labels: &Labels,
        ignored: &[String],
        two_classes: bool,
    ) -> Result<Self, ForeignError> {
        let tables = paths
            .iter()
            .map(|path| Foreign::read(path))
            .collect::<Result<Vec<Foreign>, _>>()?;
        for table in &tables {
            if table.columns != tables[0].columns {
                return Err(ForeignError::Mixed {
                    path: table.path().to_owned(),
                    first: tables[0].path().to_owned(),
                });
            }
        }
        let first = &tables[0];
        for column in ignored {
            first.position(column)?;
        }
        let own = features::schema();
        let is_own = own
            .columns
            .iter()
            .all(|column| first.columns.contains(&column.name));
        let label = match labels {
            Labels::Column(name) => Some(first.position(name)?),
            Labels::Rules(_) => None,
        };
        let wanted = |at: usize, name: &str| {
            let lower = name.to_ascii_lowercase();
            let chosen = if is_own {
                own.columns.iter().any(|column| column.name == name)
            } else {
                !TELLING.contains(&lower.as_str()) && !VERDICT_COLUMNS.contains(&name)
            };
            chosen
                && Some(at) != label
                && !ignored
                    .iter()
                    .any(|column| column.eq_ignore_ascii_case(name))
        };
        let (taken, left_out): (Vec<_>, Vec<_>) =
            (0..first.columns.len()).partition(|&at| wanted(at, &first.columns[at]));
        let (schema, words) = describe(&tables, &taken)?;
        let schema = if is_own && ignored.is_empty() {
            // Its own schema, so that its digest is the program's.
            own
        } else {
            schema
        };
        let words = in_order(&schema, &taken, first, words);
        let encoder = Encoder::new(first, &schema, &words)?;
        let mut rows = Rows::with_columns(schema.len());
        let mut texts = Vec::new();
        for table in &tables {
            let talks = TalkColumns::of(&table.columns);
            let mut line = 1;
            table.each(|record| {
                line += 1;
                encoder.push(record, &mut rows.values);
                texts.push(match labels {
                    Labels::Column(_) => record
                        .get(label.unwrap_or(0))
                        .unwrap_or("")
                        .trim()
                        .trim_end_matches('.')
                        .to_owned(),
                    Labels::Rules(rules) => {
                        let talk = talks.talk(record).ok_or_else(|| ForeignError::NoTalk {
                            path: table.path().to_owned(),
                            line,
                        })?;
                        if rules.matches(&talk) {
                            "attack"
                        } else {
                            "ordinary"
                        }
                        .to_owned()
                    }
                });
                Ok::<(), ForeignError>(())
            })?;
        }
        let (names, classes) = classes(&texts, two_classes);
        Ok(Self {
            schema,
            rows,
            classes,
            names,
            words,
            left_out: left_out
                .into_iter()
                .map(|at| first.columns[at].clone())
                .collect(),
        })
    }

    /// As a classifier takes it.
    pub fn data(&self) -> Labelled<'_> {
        Labelled {
            rows: &self.rows,
            classes: &self.classes,
            names: &self.names,
            words: &self.words,
        }
    }
}

/// Whether the value of a label column names an attack.
pub fn is_attack(label: &str) -> bool {
    const ORDINARY: [&str; 10] = [
        "",
        "0",
        "0.0",
        "false",
        "no",
        "benign",
        "normal",
        "ordinary",
        "background",
        "-",
    ];
    let label = label.trim().trim_end_matches('.').to_ascii_lowercase();
    !ORDINARY.contains(&label.as_str())
}

/// Names of the classes, ordinary traffic first and the attacks by name, and the class of each row.
fn classes(texts: &[String], two: bool) -> (Vec<String>, Vec<u32>) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    let (attacks, ordinary): (Vec<&str>, Vec<&str>) =
        counts.keys().partition(|label| is_attack(label));
    let usual = ordinary.into_iter().max_by_key(|label| counts[label]);
    let usual = usual
        .filter(|label| label.chars().any(char::is_alphabetic))
        .unwrap_or("ordinary");
    let bare = matches!(attacks[..], [one] if !one.chars().any(char::is_alphabetic));
    let mut names = vec![usual.to_owned()];
    if two || bare {
        names.push("attack".to_owned());
    } else {
        names.extend(attacks.iter().map(|label| (*label).to_owned()));
    }
    let class = |text: &String| match attacks.binary_search(&text.as_str()) {
        Err(_) => 0,
        Ok(_) if names.len() == 2 => 1,
        Ok(at) => at as u32 + 1,
    };
    let classes = texts.iter().map(class).collect();
    (names, classes)
}

/// Schema and words of the columns taken, from all tables.
fn describe(
    tables: &[Foreign],
    taken: &[usize],
) -> Result<(Schema, Vec<Vec<String>>), ForeignError> {
    /// Words counted before the rarest are dropped for good.
    const ROOM: usize = 1 << 16;
    #[derive(Default)]
    struct Seen {
        words: bool,
        counts: BTreeMap<String, u64>,
        range: Option<(f32, f32)>,
    }
    let mut seen: Vec<Seen> = taken.iter().map(|_| Seen::default()).collect();
    for table in tables {
        table.each(|record| {
            for (seen, at) in seen.iter_mut().zip(taken) {
                let text = record.get(*at).unwrap_or("").trim();
                match number(text) {
                    Some(number) if number.is_finite() => {
                        let (least, greatest) = seen.range.unwrap_or((number, number));
                        seen.range = Some((least.min(number), greatest.max(number)));
                    }
                    Some(_) => {}
                    None => seen.words = true,
                }
            }
            Ok::<(), ForeignError>(())
        })?;
    }
    for table in tables {
        table.each(|record| {
            for (seen, at) in seen.iter_mut().zip(taken).filter(|(seen, _)| seen.words) {
                let text = record.get(*at).unwrap_or("").trim();
                if let Some(count) = seen.counts.get_mut(text) {
                    *count += 1;
                } else if !text.is_empty() && seen.counts.len() < ROOM {
                    seen.counts.insert(text.to_owned(), 1);
                }
            }
            Ok::<(), ForeignError>(())
        })?;
    }
    let mut columns = Vec::new();
    let mut words = Vec::new();
    for (seen, at) in seen.into_iter().zip(taken) {
        let name = &tables[0].columns[*at];
        let (least, greatest) = seen.range.unwrap_or((0.0, 0.0));
        columns.push(Column::new(
            name,
            "1",
            transform(name, seen.words, least, greatest),
        ));
        let mut counted: Vec<(String, u64)> = seen.counts.into_iter().collect();
        counted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counted.truncate(MOST_WORDS);
        let mut known: Vec<String> = counted.into_iter().map(|(word, _)| word).collect();
        known.sort();
        words.push(known);
    }
    Ok((Schema::new(columns), words))
}

/// Words by column of the schema; they were found by column of the table.
fn in_order(
    schema: &Schema,
    taken: &[usize],
    table: &Foreign,
    words: Vec<Vec<String>>,
) -> Vec<Vec<String>> {
    let mut by_name: BTreeMap<&str, Vec<String>> = taken
        .iter()
        .map(|at| table.columns[*at].as_str())
        .zip(words)
        .collect();
    schema
        .columns
        .iter()
        .map(|column| by_name.remove(column.name.as_str()).unwrap_or_default())
        .collect()
}

/// Where a table of ours has what rules look at.
#[derive(Clone, Copy, Debug)]
pub struct TalkColumns {
    source: Option<usize>,
    destination: Option<usize>,
    port: Option<usize>,
    start: Option<usize>,
    end: Option<usize>,
}

impl TalkColumns {
    /// Looks them up by the names this program writes.
    pub fn of(columns: &[String]) -> Self {
        let place = |name: &str| columns.iter().position(|column| column == name);
        Self {
            source: place("src_ip"),
            destination: place("dst_ip"),
            port: place("dst_port"),
            start: place("start_time"),
            end: place("end_time"),
        }
    }

    /// When the flow of a line began and ended, if the table says.
    pub fn times(&self, record: &StringRecord) -> Option<(u64, u64)> {
        let time = |at: Option<usize>| Some(Stamp::parse(record.get(at?)?)?.0);
        let began = time(self.start)?;
        Some((began, time(self.end).unwrap_or(began)))
    }

    /// What rules look at; `None` without addresses or times.
    pub fn talk(&self, record: &StringRecord) -> Option<Talk> {
        let field = |at: Option<usize>| record.get(at?);
        let (start, end) = self.times(record)?;
        Some(Talk {
            hosts: [
                field(self.source)?.parse().ok()?,
                field(self.destination)?.parse().ok()?,
            ],
            port: field(self.port)
                .and_then(|port| port.parse().ok())
                .unwrap_or(0),
            start,
            end,
        })
    }
}
