//! Rows with what they are and what they were called: from captures, predictions, tables of features, and tables of
//! others that a classifier scores.

use std::{collections::BTreeMap, path::Path};

use super::super::{
    args::Eval,
    fault::{Fault, code},
    setup::{Setup, show},
};
use crate::{
    pipeline::{self, Encoder, Foreign, Labels, TalkColumns, is_attack, some},
    score::{
        Judge,
        quality::Judged,
        rules::{Rules, Talk},
        store,
    },
    sink::evaluation::Planted,
    time,
};

/// Labels and verdicts counted by name; more are counted together.
const MOST_NAMES: usize = 64;
/// What a flow of no rule is called.
const ORDINARY: &str = "ordinary";

/// Rows with the time they span.
pub(super) struct Rows {
    pub(super) judged: Vec<Judged>,
    pub(super) threshold: f64,
    pub(super) confusion: BTreeMap<(String, String), u64>,
    pub(super) planted: Vec<Planted>,
    /// When each attack of the rule file began.
    starts: Vec<Option<u64>>,
    first: Option<u64>,
    last: u64,
}

/// A row, judged.
struct One<'a> {
    score: f64,
    alarm: bool,
    /// Whether a person is told of it: an alarm, or part of a behaviour that is.
    told: bool,
    label: &'a str,
    attack: bool,
    called: &'a str,
    /// Places of the rules it matches.
    rules: &'a [usize],
    times: Option<(u64, u64)>,
}

impl Rows {
    pub(super) fn new(labels: &Labels) -> Self {
        let attacks: Vec<(String, Option<u64>)> = match labels {
            Labels::Column(_) => Vec::new(),
            Labels::Rules(rules) => rules
                .attacks()
                .map(|(name, start)| (name.to_owned(), start))
                .collect(),
        };
        Self {
            judged: Vec::new(),
            threshold: f64::NAN,
            confusion: BTreeMap::new(),
            starts: attacks.iter().map(|(_, start)| *start).collect(),
            planted: attacks
                .into_iter()
                .map(|(name, _)| Planted {
                    name,
                    rows: 0,
                    told: 0,
                    seconds: None,
                })
                .collect(),
            first: None,
            last: 0,
        }
    }

    /// Days of traffic; NaN where the table has no times.
    pub(super) fn days(&self) -> f64 {
        self.first
            .map_or(f64::NAN, |first| time::between(first, self.last) / 86_400.0)
    }

    fn add(&mut self, one: &One<'_>) {
        if let Some((start, end)) = one.times {
            self.first = Some(self.first.map_or(start, |first| first.min(start)));
            self.last = self.last.max(end);
        }
        for &rule in one.rules {
            let planted = &mut self.planted[rule];
            planted.rows += 1;
            planted.told += u64::from(one.told);
            if let (true, Some(start), Some((_, end))) = (one.told, self.starts[rule], one.times) {
                let after = time::between(start, end.max(start));
                planted.seconds = Some(planted.seconds.map_or(after, |before| before.min(after)));
            }
        }
        let mut key = (one.label.to_owned(), one.called.to_owned());
        if self.confusion.len() >= MOST_NAMES * 4 && !self.confusion.contains_key(&key) {
            key = ("others".to_owned(), "others".to_owned());
        }
        *self.confusion.entry(key).or_default() += 1;
        self.judged.push(Judged {
            score: one.score,
            alarm: one.alarm,
            attack: one.attack,
        });
    }

    /// Scores captures with the model.
    pub(super) fn captures(
        &mut self,
        setup: &Setup,
        args: &Eval,
        labels: &Labels,
    ) -> Result<String, Fault> {
        let Labels::Rules(rules) = labels else {
            return Err(Fault::new(
                code::USAGE,
                "captures have no column of labels: give --rules FILE, or predictions with labels",
            ));
        };
        let model = setup.model(args.model.name.as_deref())?;
        let bar = setup.progress("scoring", &args.inputs.paths);
        let summary = pipeline::score_capture(
            &args.inputs.paths,
            &setup.stages(),
            &model,
            &mut |tick| show(&bar, tick),
            &mut |scored, _| {
                let record = &scored.record;
                let talk = Talk {
                    hosts: [record.source(), record.destination()],
                    port: record.destination_port(),
                    start: record.start(),
                    end: record.last(),
                };
                let matched: Vec<usize> = rules.which(&talk).collect();
                self.add(&One {
                    score: f64::from(scored.score),
                    alarm: scored.anomalous,
                    told: scored.kind.is_some(),
                    label: &name_of(rules, &matched),
                    attack: !matched.is_empty(),
                    called: scored.kind.map_or("normal", |kind| kind.name()),
                    rules: &matched,
                    times: Some((record.start(), record.last())),
                });
                Ok(())
            },
        );
        bar.finish_and_clear();
        setup.damage(&summary?.pass);
        self.threshold = f64::from(model.threshold());
        Ok(format!(
            "scored by a forest of {} trees, {}",
            model.info().settings.trees,
            &model.digest()[..12]
        ))
    }

    /// Scores a table of any columns with a classifier.
    pub(super) fn classified(
        &mut self,
        model: &Path,
        path: &Path,
        labels: &Labels,
    ) -> Result<String, Fault> {
        let classifier = store::load_classifier(model)?;
        let table = Foreign::read(path)?;
        let encoder = Encoder::of(&table, &classifier)?;
        let column = match labels {
            Labels::Column(name) => Some(table.position(name)?),
            Labels::Rules(_) => None,
        };
        let talks = TalkColumns::of(&table.columns);
        let names = &classifier.info().classes;
        let mut values = Vec::new();
        let mut line = 1;
        table.each(|record| {
            line += 1;
            values.clear();
            encoder.push(record, &mut values);
            let shares = classifier.probabilities(&values);
            let mut score = [0.0];
            classifier.score(&values, &mut score);
            let most = (1..names.len()).fold(0, |most, class| {
                if shares[class] > shares[most] {
                    class
                } else {
                    most
                }
            });
            let alarm = score[0] >= classifier.threshold();
            let truth = truth(labels, column, talks, record, path, line)?;
            self.add(&One {
                score: f64::from(score[0]),
                alarm,
                told: alarm,
                label: &truth.label,
                attack: truth.attack,
                called: &names[most],
                rules: &truth.rules,
                times: talks.times(record),
            });
            Ok::<(), Fault>(())
        })?;
        self.threshold = f64::from(classifier.threshold());
        Ok(format!(
            "scored by {} boosted trees, {}",
            classifier.trees(),
            &classifier.digest()[..12]
        ))
    }

    /// Takes the scores of a table of predictions, or scores a table of features.
    pub(super) fn table(
        &mut self,
        setup: &Setup,
        args: &Eval,
        path: &Path,
        labels: &Labels,
    ) -> Result<String, Fault> {
        let mut table = pipeline::Table::open(path)?;
        let label = match labels {
            Labels::Column(name) => Some(table.position(name).ok_or_else(|| {
                Fault::new(
                    code::FAILED,
                    format!(
                        "{}: no column `{name}`; it has {}",
                        path.display(),
                        some(&table.columns)
                    ),
                )
            })?),
            Labels::Rules(_) => None,
        };
        let talks = TalkColumns::of(&table.columns);
        let place = |name: &str| table.position(name);
        let (score_at, prediction) = (place("score"), place("prediction"));
        let (class, reasons) = (place("predicted_class"), place("reasons"));
        let scored = score_at.is_some() && args.model.name.is_none();
        let model = if scored {
            None
        } else {
            table.require_features()?;
            Some(setup.model(args.model.name.as_deref())?)
        };
        let mut judge = Judge::default();
        let mut line = 1_u64;
        loop {
            line += 1;
            let Some(record) = table.next_record()? else {
                break;
            };
            let field = |at: Option<usize>| at.and_then(|at| record.get(at)).unwrap_or("");
            let truth = truth(labels, label, talks, record, path, line)?;
            let times = talks.times(record);
            let given = field(score_at).parse::<f64>();
            let alarmed = field(prediction) == "anomaly";
            let part = field(reasons)
                .strip_prefix("part of: ")
                .and_then(|rest| rest.split(" | ").next());
            let called = match (class, part) {
                (Some(at), _) => record.get(at).unwrap_or(""),
                (None, Some(kind)) if scored => kind,
                _ if alarmed && scored => "unusual flow",
                _ => "normal",
            }
            .to_owned();
            let told = scored && part.is_some();
            let (score, alarm) = match &model {
                None => {
                    let score = given.map_err(|_| {
                        Fault::new(
                            code::FAILED,
                            format!(
                                "{}: line {line}: no number in column `score`",
                                path.display()
                            ),
                        )
                    })?;
                    (score, alarmed)
                }
                Some(model) => {
                    let score = judge.score_row(model, &table.row()?);
                    (f64::from(score), score >= model.threshold())
                }
            };
            // The threshold of a table is the least score that was alarmed.
            match &model {
                Some(model) => self.threshold = f64::from(model.threshold()),
                None if alarm => self.threshold = self.threshold.min(score),
                None => {}
            }
            self.add(&One {
                score,
                alarm,
                told: alarm || told,
                label: &truth.label,
                attack: truth.attack,
                called: if model.is_some() && alarm {
                    "anomaly"
                } else {
                    &called
                },
                rules: &truth.rules,
                times,
            });
        }
        Ok(match model {
            Some(model) => format!(
                "scored by a forest of {} trees, {}",
                model.info().settings.trees,
                &model.digest()[..12]
            ),
            None => "with the scores that the table holds".to_owned(),
        })
    }
}

/// What a row is, by its label or by the rules.
struct Truth {
    label: String,
    attack: bool,
    rules: Vec<usize>,
}

fn truth(
    labels: &Labels,
    column: Option<usize>,
    talks: TalkColumns,
    record: &::csv::StringRecord,
    path: &Path,
    line: u64,
) -> Result<Truth, Fault> {
    match labels {
        Labels::Column(_) => {
            let text = column.and_then(|at| record.get(at)).unwrap_or("");
            Ok(Truth {
                label: text.trim().trim_end_matches('.').to_owned(),
                attack: is_attack(text),
                rules: Vec::new(),
            })
        }
        Labels::Rules(rules) => {
            let talk = talks.talk(record).ok_or_else(|| {
                Fault::new(
                    code::FAILED,
                    format!(
                        "{}: line {line}: no addresses and times to match rules with",
                        path.display()
                    ),
                )
            })?;
            let matched: Vec<usize> = rules.which(&talk).collect();
            Ok(Truth {
                label: name_of(rules, &matched),
                attack: !matched.is_empty(),
                rules: matched,
            })
        }
    }
}

/// The first rule's name.
fn name_of(rules: &Rules, matched: &[usize]) -> String {
    let first = matched.first().and_then(|at| rules.attacks().nth(*at));
    first.map_or(ORDINARY, |(name, _)| name).to_owned()
}
