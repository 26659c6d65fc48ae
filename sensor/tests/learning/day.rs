//! Scripted days: what shall be learned is, what shall not be is not, and what was wrong is taken back.

use std::sync::Arc;

use model::{Model, Rows};
use sensor::{
    features::{Batch, COUNT, Row, TABLE, model_row, schema},
    flow::FlowRecord,
    learn::{Decision, Learner, Rules, Settings},
    score::{Budget, BudgetSettings, IncidentSettings, Incidents, Judge, Kind, Rate},
};

use super::made::{DAY, Dice, SECOND, START, record};

const HOUR: u64 = 3600 * SECOND;

fn at(name: &str) -> usize {
    TABLE
        .iter()
        .position(|feature| feature.name == name)
        .unwrap_or_else(|| panic!("no feature {name}"))
}

/// What a flow looks like.
#[derive(Clone, Copy)]
pub(crate) enum Habit {
    /// Office traffic.
    Office,
    /// The same network after everything has become a hundred times as large.
    Moved,
    /// Large uploads by night and day.
    Backup,
    /// One of very many ports.
    Probe,
    /// Endless, with tiny packets: what a tunnel looks like.
    Tunnel,
}

fn row(habit: Habit, dice: &mut Dice) -> Row {
    let mut row: Row = [f32::NAN; COUNT];
    let mut set = |name: &str, median: f64| {
        // Log-normal, about a factor of two (sum of uniforms).
        let spread = (0..6).map(|_| dice.unit() - 0.5).sum::<f64>();
        row[at(name)] = (median * 2f64.powf(spread)) as f32;
    };
    let scale = if matches!(habit, Habit::Moved) {
        100.0
    } else {
        1.0
    };
    set(
        "duration",
        if matches!(habit, Habit::Tunnel) {
            20_000.0
        } else {
            2.0 * scale
        },
    );
    set(
        "orig_payload",
        match habit {
            Habit::Backup => 5e8,
            Habit::Tunnel => 4e6,
            _ => 900.0 * scale,
        },
    );
    set(
        "resp_payload",
        if matches!(habit, Habit::Tunnel) {
            4e6
        } else {
            9000.0 * scale
        },
    );
    set(
        "orig_packets",
        match habit {
            Habit::Backup => 4e5,
            Habit::Tunnel => 3e5,
            _ => 9.0 * scale,
        },
    );
    set(
        "resp_packets",
        match habit {
            Habit::Backup => 2e5,
            Habit::Tunnel => 3e5,
            _ => 11.0 * scale,
        },
    );
    set(
        "src_flows_60s",
        if matches!(habit, Habit::Tunnel) {
            60.0
        } else {
            4.0
        },
    );
    set(
        "src_ports_60s",
        if matches!(habit, Habit::Probe) {
            300.0
        } else {
            2.0
        },
    );
    set("src_peers_60s", 2.0);
    set(
        "src_failed_share_60s",
        if matches!(habit, Habit::Probe) {
            0.95
        } else {
            0.02
        },
    );
    // What is always known of addresses: hosts of this network, no group.
    row[at("src_private")] = 1.0;
    row[at("dst_private")] = 1.0;
    row[at("dst_group")] = 0.0;
    row
}

/// A sensor in small: judge, incidents, budget and learner, in traffic time.
pub(crate) struct Sensor {
    judge: Judge,
    pub(crate) incidents: Incidents,
    budget: Budget,
    learner: Learner,
    dice: Dice,
    flows: u64,
    log: Vec<String>,
}

impl Sensor {
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut rows = Rows::with_columns(schema().len());
        for _ in 0..3000 {
            rows.push(&model_row(&row(Habit::Office, &mut dice)));
        }
        let model = Model::train(&rows, &schema(), &settings.model).unwrap();
        Self {
            judge: Judge::default(),
            incidents: Incidents::new(IncidentSettings {
                explained: 1,
                ..IncidentSettings::default()
            }),
            budget: Budget::new(&BudgetSettings {
                shared: Some(Rate {
                    alerts: 20,
                    period_ns: DAY,
                }),
                by_severity: [None; 4],
                ..BudgetSettings::default()
            }),
            learner: Learner::new(settings, Arc::new(model)),
            dice,
            flows: 0,
            log: Vec::new(),
        }
    }

    /// One flow; answers whether it was anomalous.
    fn see(&mut self, habit: Habit, source: u32, destination: u32, time: u64) -> bool {
        self.flows += 1;
        let mut flow: FlowRecord = record(self.flows, source, destination, time);
        if matches!(habit, Habit::Probe) {
            for half in &mut flow.counters.halves {
                half.payload_bytes = 0;
            }
        }
        let row = row(habit, &mut self.dice);
        let champion = Arc::clone(self.learner.champion());
        let (mut batch, mut scored) = (Batch::new(), Vec::new());
        batch.push((flow, row));
        self.judge.judge(&champion, &mut batch, &mut scored);
        let mut found = scored.remove(0);
        self.incidents.absorb(&mut found, &champion);
        self.learner.observe(&found);
        for alert in self.budget.tell(found.record.due, &mut self.incidents) {
            if !alert.again {
                let incident = alert.incident;
                self.log.push(format!(
                    "alert {} {}",
                    incident.kind, incident.subject.address
                ));
            }
            self.learner.heed(alert.incident, found.record.due);
        }
        found.anomalous
    }

    /// An hour's traffic of forty hosts, 600 flows in even steps, and what else happens in it. Answers the share of the
    /// latter that was anomalous.
    pub(crate) fn hour(&mut self, hour: u64, usual: Habit, also: &[(Habit, u32, u64)]) -> f64 {
        let begin = START + hour * HOUR;
        let mut events: Vec<(u64, Habit, u32, bool)> = (0..600)
            .map(|step| {
                (
                    begin + step * HOUR / 600,
                    usual,
                    100 + (step % 40) as u32,
                    false,
                )
            })
            .collect();
        for (habit, host, flows) in also {
            events.extend(
                (0..*flows).map(|step| (begin + step * HOUR / flows + 1, *habit, *host, true)),
            );
        }
        events.sort_by_key(|event| event.0);
        let (mut odd, mut all) = (0.0, 0.0);
        for (time, habit, host, counts) in events {
            let anomalous = self.see(habit, host, 5, time);
            if counts {
                all += 1.0;
                odd += f64::from(u8::from(anomalous));
            }
            self.turn(hour, time);
        }
        self.incidents.close(begin.saturating_sub(HOUR / 2));
        odd / f64::max(all, 1.0)
    }

    /// What a sensor does at the end of an epoch.
    fn turn(&mut self, hour: u64, now: u64) {
        if let Some(job) = self.learner.job(now) {
            self.learner.challenge(Some(job.train().unwrap()));
            self.log.push(format!("{hour}: trained"));
        }
        match self.learner.decide(now) {
            Some(Decision::Promoted(model)) => self
                .log
                .push(format!("{hour}: promoted {}", model.digest())),
            Some(Decision::Refused(why)) => {
                self.log.push(format!("{hour}: refused {}", why.name()));
            }
            Some(Decision::RolledBack(model, _)) => {
                self.log.push(format!("{hour}: back to {}", model.digest()));
            }
            None => {}
        }
    }

    fn logged(&self, what: &str) -> bool {
        self.log.iter().any(|line| line.contains(what))
    }

    /// Share of such flows that the model in use finds anomalous.
    pub(crate) fn would_find(&mut self, habit: Habit) -> f64 {
        let champion = Arc::clone(self.learner.champion());
        let mut values = Vec::new();
        for _ in 0..200 {
            values.extend_from_slice(&model_row(&row(habit, &mut self.dice)));
        }
        let scores = self.judge.score_values(&champion, &values);
        scores
            .iter()
            .filter(|score| **score >= champion.threshold())
            .count() as f64
            / 200.0
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        model: model::Settings {
            trees: 60,
            threads: 1,
            ..model::Settings::default()
        },
        rows: 6000,
        half_life_ns: 8 * HOUR,
        every_ns: 4 * HOUR,
        fewest: 500,
        rules: Rules {
            rows: 150,
            ..Rules::default()
        },
        probation_ns: 2 * HOUR,
        ..Settings::default()
    }
}

/// Twenty-six hours: from the fourth on a backup job, in the tenth a scan and in the twenty-fourth another, in the twelfth and thirteenth an attempt to
/// make a tunnel usual by digging it three thousand times.
pub(crate) fn day(seed: u64, poison: bool) -> (Sensor, f64, f64) {
    let mut sensor = Sensor::new(settings(), seed);
    let (mut backup_first, mut backup_last) = (0.0, 0.0);
    for hour in 0..26 {
        let mut also = Vec::new();
        if hour >= 4 {
            also.push((Habit::Backup, 50, 24));
        }
        match hour {
            10 => also = vec![(Habit::Probe, 66, 400)],
            24 => also.push((Habit::Probe, 67, 400)),
            12 | 13 if poison => also = vec![(Habit::Tunnel, 77, 1500)],
            _ => {}
        }
        let odd = sensor.hour(hour, Habit::Office, &also);
        match hour {
            4 => backup_first = odd,
            25 => backup_last = odd,
            _ => {}
        }
    }
    (sensor, backup_first, backup_last)
}

#[test]
fn a_shift_is_absorbed_an_attack_alerted_and_poison_not_learned() {
    let (mut sensor, backup_first, backup_last) = day(1, true);
    let log = sensor.log.join("\n");
    assert!(
        backup_first > 0.8,
        "the backup job was no news: {backup_first}"
    );
    assert!(backup_last < 0.35, "it is still news: {backup_last}\n{log}");
    assert!(sensor.logged("promoted"), "{log}");
    let scan = format!("alert {} 10.0.0.66", Kind::PortScanVertical);
    assert!(sensor.logged(&scan), "{log}");
    assert!(
        sensor.logged("10.0.0.77"),
        "the tunnels were told of:\n{log}"
    );
    let tunnels = sensor.would_find(Habit::Tunnel);
    // What a sensor finds that lived the same day without the attempt.
    let clean = day(1, false).0.would_find(Habit::Tunnel);
    assert!(
        clean > 0.9 && tunnels > 0.9,
        "the poison worked: {tunnels}, {clean} without\n{log}"
    );
    let again = format!("alert {} 10.0.0.67", Kind::PortScanVertical);
    assert!(
        sensor.logged(&again),
        "the second scan was not told:\n{log}"
    );
    assert!(
        sensor.learner.stats().refused >= 400,
        "{:?}",
        sensor.learner.stats()
    );
}

#[test]
fn the_same_day_gives_the_same_decisions() {
    let (first, second) = (day(2, true).0, day(2, true).0);
    assert_eq!(first.log, second.log);
    assert_eq!(
        first.learner.champion().digest(),
        second.learner.champion().digest()
    );
}

/// The network moves for a day and the sensor follows; then it moves back, and the new model cries wolf.
#[test]
fn a_champion_that_cries_wolf_is_sent_back() {
    let mut sensor = Sensor::new(
        Settings {
            // So short a memory that it holds nothing but what the network moved to.
            rows: 500,
            half_life_ns: HOUR / 12,
            every_ns: 6 * HOUR,
            fewest: 300,
            probation_ns: 100 * HOUR,
            ..settings()
        },
        3,
    );
    let first = sensor.learner.champion().digest();
    for hour in 0..2 {
        sensor.hour(hour, Habit::Office, &[]);
    }
    let mut hour = 2;
    while !sensor.logged("promoted") {
        assert!(hour < 40, "{}", sensor.log.join("\n"));
        sensor.hour(hour, Habit::Moved, &[]);
        hour += 1;
    }
    assert_ne!(sensor.learner.champion().digest(), first);
    for more in 0..4 {
        sensor.hour(hour + more, Habit::Office, &[]);
    }
    let log = sensor.log.join("\n");
    assert!(sensor.logged(&format!("back to {first}")), "{log}");
    assert_eq!(sensor.learner.champion().digest(), first);
}
