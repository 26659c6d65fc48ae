//! Zeek connection logs: a model trained on one benign day of one network, scoring the labelled logs of others.
//!
//! The model learns from `benign-2023-02-20` and from nothing else, all of its lines, whatever their label. What a log says of a
//! network's own past is computed from the earlier lines of the same log, without labels, as the product does when it
//! watches a log. Rows labelled `Background` or `Unknown` are context, and are not ranked. Beside it, scikit-learn's forest on the
//! plain fields of conn.log.

use std::path::{Path, PathBuf};

use model::{Model, Rows, Settings};
use sensor::zeek::{self, Conn, ConnLog, Featured, Stream};

use super::{Options, Part, QualityError, Ranking, ResultRow};

/// What the model learns from.
const BENIGN: &str = "zeek-conn-logs/benign-2023-02-20.conn.log.labeled.gz";
/// Draws of attacks for a share that is not the log's own.
const DRAWS: u64 = 20;

struct Set {
    name: &'static str,
    path: &'static str,
    part: Part,
    /// Every line is an attack: ranked against the last fifth of the benign day, which the model then does not learn.
    attacks_only: bool,
}

const SETS: [Set; 8] = [
    Set {
        name: "njrat",
        path: "zeek-conn-logs/ctu-botnet-230-1-njrat.conn.log.labeled",
        part: Part::ChosenOn,
        attacks_only: false,
    },
    Set {
        name: "ctu50-40",
        path: "zeek-conn-logs/ctu50-normal-40-day1.conn.log.labeled",
        part: Part::ChosenOn,
        attacks_only: false,
    },
    Set {
        name: "ctu50-43",
        path: "zeek-conn-logs/ctu50-normal-43-day1.conn.log.labeled.gz",
        part: Part::Confirmed,
        attacks_only: false,
    },
    Set {
        name: "remcos",
        path: "zeek-conn-logs/ctu-sme-11-win7-remcos.conn.log.labeled",
        part: Part::ChosenOn,
        attacks_only: false,
    },
    Set {
        name: "iot23-34-1 mirai",
        path: "iot23-34-1-mirai/conn.log.labeled.gz",
        part: Part::Confirmed,
        attacks_only: false,
    },
    Set {
        name: "nmap-scans",
        path: "zeek-conn-logs/nmap-scans.conn.json.log.gz",
        part: Part::Confirmed,
        attacks_only: true,
    },
    Set {
        name: "vertical scan",
        path: "scans-bruteforce/conn-vertical-scan.log",
        part: Part::Confirmed,
        attacks_only: true,
    },
    Set {
        name: "horizontal scan",
        path: "scans-bruteforce/conn-horizontal-scan.log",
        part: Part::Confirmed,
        attacks_only: true,
    },
];

/// Rows of one log in both forms.
struct Table {
    ours: Rows,
    plain: Rows,
    attacks: Vec<bool>,
}

impl Table {
    fn new() -> Self {
        Self {
            ours: Rows::with_columns(zeek::schema().len()),
            plain: Rows::with_columns(PLAIN),
            attacks: Vec::new(),
        }
    }

    fn push(&mut self, featured: &Featured, attack: bool) {
        zeek::push_model_row(&featured.row, &mut self.ours.values);
        self.plain.push(&plain(&featured.conn));
        self.attacks.push(attack);
    }
}

/// Measures every set, at its own share of attacks and at 5 % and 1 %.
pub(crate) fn measure(data: &Path, options: &Options) -> Result<Vec<ResultRow>, QualityError> {
    let day = read(&data.join(BENIGN))?;
    let cut = day.len() / 5 * 4;
    let learn = |rows: &[Featured]| {
        let mut table = Table::new();
        rows.iter().for_each(|row| table.push(row, false));
        table
    };
    let (whole, most) = (learn(&day), learn(&day[..cut]));
    let (models, most_models) = (train(&whole, options)?, train(&most, options)?);
    let mut results = Vec::new();
    for set in SETS {
        let mut table = Table::new();
        for featured in read(&data.join(set.path))? {
            let label = featured.conn.label.as_deref();
            match (set.attacks_only, label) {
                (true, _) | (_, Some("Malicious")) => table.push(&featured, true),
                (_, Some("Benign")) => table.push(&featured, false),
                _ => {}
            }
        }
        let (models, learned) = if set.attacks_only {
            day[cut..].iter().for_each(|row| table.push(row, false));
            (&most_models, &most)
        } else {
            (&models, &whole)
        };
        let ours = scores(models, &table);
        let peer = match &options.peer {
            Some(peer) => Some((
                format!("scikit-learn {}", peer.versions()),
                peer.isolation_forest(&learned.plain, &table.plain, options.seeds)?,
            )),
            None => None,
        };
        results.extend(rows_of(&set, &table, &ours, peer.as_ref()));
    }
    Ok(results)
}

/// One row for each share of attacks.
fn rows_of(
    set: &Set,
    table: &Table,
    ours: &[Vec<f32>],
    peer: Option<&(String, Vec<Vec<f32>>)>,
) -> Vec<ResultRow> {
    let attacks = table.attacks.iter().filter(|attack| **attack).count();
    let benign = table.attacks.len() - attacks;
    let mut results = Vec::new();
    for share in [None, Some(0.05), Some(0.01)] {
        let wanted = share.map_or(attacks, |share: f64| {
            ((benign as f64 * share / (1.0 - share)).round() as usize).max(1)
        });
        let name = match share {
            None => set.name.to_owned(),
            Some(share) => format!("{}, {:.0} %", set.name, share * 100.0),
        };
        let mut row = ResultRow::new(name, "forest", set.part);
        row.rows = (benign + wanted.min(attacks)) as u64;
        row.attacks = wanted.min(attacks) as u64;
        row.ours = Some(ranking(ours, &table.attacks, attacks, wanted));
        row.peer = peer.map(|(name, scores)| {
            (
                name.clone(),
                ranking(scores, &table.attacks, attacks, wanted),
            )
        });
        if share.is_none() {
            row.goal = Some(Ranking {
                roc_auc: 0.98,
                pr_auc: f64::NAN,
            });
        }
        if set.attacks_only && share.is_none() {
            row.note = Some(
                "all its lines are attacks; ranked against the last fifth of the benign day, not learned from".to_owned(),
            );
        }
        results.push(row);
    }
    results
}

/// The ranking with `wanted` of the attacks, mean over [`DRAWS`] draws if that is not all of them.
fn ranking(scores: &[Vec<f32>], attacks: &[bool], there: usize, wanted: usize) -> Ranking {
    if wanted >= there {
        return Ranking::mean(scores, attacks);
    }
    let mut sum = Ranking {
        roc_auc: 0.0,
        pr_auc: 0.0,
    };
    let positions: Vec<usize> = (0..attacks.len()).filter(|at| attacks[*at]).collect();
    for draw in 0..DRAWS {
        let mut left = positions.clone();
        let mut keep: Vec<bool> = attacks.iter().map(|attack| !attack).collect();
        let mut state = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..wanted {
            // SplitMix64 (Steele, Lea, Flood 2014).
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let drawn = (mixed ^ (mixed >> 31)) as usize % left.len();
            keep[left.swap_remove(drawn)] = true;
        }
        let kept = |values: &Vec<f32>| -> Vec<f32> {
            let pairs = values.iter().zip(&keep).filter(|(_, keep)| **keep);
            pairs.map(|(value, _)| *value).collect()
        };
        let labels: Vec<bool> = attacks
            .iter()
            .zip(&keep)
            .filter(|(_, keep)| **keep)
            .map(|(attack, _)| *attack)
            .collect();
        let drawn: Vec<Vec<f32>> = scores.iter().map(kept).collect();
        let one = Ranking::mean(&drawn, &labels);
        sum.roc_auc += one.roc_auc / DRAWS as f64;
        sum.pr_auc += one.pr_auc / DRAWS as f64;
    }
    sum
}

fn train(table: &Table, options: &Options) -> Result<Vec<Model>, QualityError> {
    (0..options.seeds)
        .map(|seed| {
            let settings = Settings {
                seed: u64::from(seed),
                ..zeek::model_settings()
            };
            Ok(Model::train(&table.ours, &zeek::schema(), &settings)?)
        })
        .collect()
}

fn scores(models: &[Model], table: &Table) -> Vec<Vec<f32>> {
    models
        .iter()
        .map(|model| {
            let mut scores = vec![0.0; table.attacks.len()];
            model.scorer().score(&table.ours, &mut scores);
            scores
        })
        .collect()
}

fn read(path: &Path) -> Result<Vec<Featured>, QualityError> {
    if !path.is_file() {
        return Err(QualityError::Absent(path.to_owned()));
    }
    let failed = |error: zeek::LogError| QualityError::Data {
        path: PathBuf::from(path),
        what: error.to_string(),
    };
    let mut log = ConnLog::open(path).map_err(failed)?;
    let (mut stream, mut out) = (Stream::new(), Vec::new());
    while let Some(conn) = log.next_conn().map_err(failed)? {
        stream.push(conn, &mut out);
    }
    stream.flush(&mut out);
    Ok(out)
}

/// Columns of [`plain`].
const PLAIN: usize = 16;

/// The fields of conn.log as anybody would hand them to a forest: numbers as they are, names by number, nothing where unset.
fn plain(conn: &Conn) -> [f32; PLAIN] {
    let number = |value: Option<u64>| value.unwrap_or(0) as f32;
    let port = |port: Option<u16>| f32::from(port.unwrap_or(0));
    let flag = |value: Option<bool>| value.map_or(-1.0, |yes| f32::from(u8::from(yes)));
    let service = conn.service.as_deref().map_or(0.0, |service| {
        let bytes = service.bytes();
        (bytes.fold(7_u32, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(byte.into())
        }) % 97
            + 1) as f32
    });
    [
        number(conn.duration_ns) / 1e9,
        number(conn.orig.bytes),
        number(conn.resp.bytes),
        number(conn.missed_bytes),
        number(conn.orig.packets),
        number(conn.orig.ip_bytes),
        number(conn.resp.packets),
        number(conn.resp.ip_bytes),
        port(conn.source_port),
        port(conn.destination_port),
        f32::from(conn.protocol),
        conn.state.map_or(-1.0, |state| f32::from(state as u8)),
        service,
        flag(conn.orig.local),
        flag(conn.resp.local),
        conn.history
            .map_or(0.0, |history| f32::from(history.length)),
    ]
}
