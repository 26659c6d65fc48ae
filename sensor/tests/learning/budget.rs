//! The alert budget: as many alerts as were asked for, whatever the traffic; a flood within it; an attack not lost in
//! the noise.

use model::Model;
use sensor::score::{Budget, BudgetSettings, IncidentSettings, Incidents, Rate};

use super::made::{DAY, Dice, SECOND, START, model, unusual};

fn per_day(alerts: u32) -> BudgetSettings {
    BudgetSettings {
        shared: Some(Rate {
            alerts,
            period_ns: DAY,
        }),
        by_severity: [None; 4],
        ..BudgetSettings::default()
    }
}

struct Sensor {
    model: Model,
    incidents: Incidents,
    budget: Budget,
    flows: u64,
}

impl Sensor {
    fn new(alerts: u32) -> Self {
        Self {
            model: model(),
            incidents: Incidents::new(IncidentSettings {
                explained: 0,
                // There is nothing but candidates here, and a rate to hold would be one of them.
                hold_rate: false,
                ..IncidentSettings::default()
            }),
            budget: Budget::new(&per_day(alerts)),
            flows: 0,
        }
    }

    /// One unusual flow of this host at this time; answers the hosts told of for the first time.
    fn see(&mut self, source: u32, at: u64, p_value: f64) -> Vec<std::net::IpAddr> {
        self.flows += 1;
        let mut scored = unusual(self.flows, source, at, p_value);
        self.incidents.absorb(&mut scored, &self.model);
        self.quiet(at)
    }

    fn quiet(&mut self, at: u64) -> Vec<std::net::IpAddr> {
        self.incidents.close(at.saturating_sub(1800 * SECOND));
        let alerts = self.budget.tell(at, &mut self.incidents);
        let new = alerts.iter().filter(|alert| !alert.again);
        new.map(|alert| alert.incident.subject.address).collect()
    }
}

#[test]
fn benign_days_give_the_alerts_asked_for() {
    for (alerts, seed) in [(5, 1), (20, 2), (60, 3)] {
        let mut sensor = Sensor::new(alerts);
        let mut dice = Dice(seed);
        let mut told = Vec::new();
        for day in 0..14_u64 {
            let mut today = 0;
            // 300 candidates a day; in the second week twice as many decades rarer: the network has drifted.
            for at in 0..300_u64 {
                let decades = 2.0 - dice.unit().log10() * if day < 7 { 1.0 } else { 2.0 };
                let at = START + day * DAY + at * DAY / 300;
                let host = (dice.next() % 4000) as u32 + 10;
                today += sensor.see(host, at, 10f64.powf(-decades)).len();
            }
            told.push(today as f64);
        }
        for week in [&told[..7], &told[7..]] {
            let mean = week.iter().sum::<f64>() / 7.0;
            let ratio = mean / f64::from(alerts);
            assert!((0.5..=2.0).contains(&ratio), "{alerts}/day: {told:?}");
        }
        let most = told.iter().copied().fold(0.0, f64::max);
        assert!(most <= 1.5 * f64::from(alerts) + 1.0, "{alerts}: {told:?}");
    }
}

#[test]
fn a_flood_of_candidates_stays_within_the_budget_and_hides_nothing_critical() {
    let mut sensor = Sensor::new(20);
    let threshold = |sensor: &Sensor| {
        sensor
            .budget
            .threshold(sensor::score::Severity::Low)
            .unwrap()
    };
    let before = threshold(&sensor);
    let (mut told, mut critical_told) = (0, None);
    let mut dice = Dice(7);
    // Two hours, 5,000 hosts with one unusual flow each, a few minutes before the end the real thing.
    for at in 0..5000_u64 {
        let time = START + at * 7200 * SECOND / 5000;
        let decades = 4.0 + 2.0 * dice.unit();
        told += sensor
            .see(at as u32 + 100, time, 10f64.powf(-decades))
            .len();
        if (4500..4900).contains(&at) {
            // Many flows of one host, as rare as can be: critical evidence.
            let new = sensor.see(7, time + 1, 1e-9);
            told += new.len();
            if new.iter().any(|host| host.to_string() == "10.0.0.7") {
                critical_told.get_or_insert(at);
            }
        }
    }
    assert!(told <= 10 + 2, "{told} alerts of a budget of 20 a day");
    assert!(critical_told.is_some(), "the attack was lost in the noise");
    // Two hours are 1.7 expected alerts: so many windows, four steps each, a quarter of a decade a step.
    let after = threshold(&sensor);
    assert!(after <= before + 3.0, "{before} to {after}");
    // Nobody is told twice and the noise is forgotten: a day later the sensor is as attentive as before.
    for hour in 0..48_u64 {
        let told = sensor.quiet(START + 7200 * SECOND + hour * 3600 * SECOND);
        assert!(told.len() <= 10, "{told:?}");
    }
    assert!(threshold(&sensor) <= before, "{}", threshold(&sensor));
}

#[test]
fn what_waits_is_told_when_there_is_room_strongest_first() {
    let mut sensor = Sensor::new(2);
    // A budget of two a day begins with one, and this takes it.
    assert_eq!(sensor.see(1, START, 1e-6).len(), 1);
    assert!(sensor.see(2, START + SECOND, 1e-6).is_empty());
    assert!(sensor.see(3, START + 2 * SECOND, 1e-7).is_empty());
    assert_eq!(sensor.budget.waiting(), 2);
    let mut told = Vec::new();
    for hour in 1..24_u64 {
        // They go on, so that they are not over.
        for host in [2, 3] {
            told.extend(sensor.see(host, START + hour * 1200 * SECOND, 1e-5));
        }
        told.extend(sensor.quiet(START + hour * 1200 * SECOND));
    }
    assert_eq!(told.len(), 0, "8 hours are two thirds of an alert");
    for step in 1..40_u64 {
        for host in [2, 3] {
            told.extend(sensor.see(host, START + (23 + step) * 1200 * SECOND, 1e-5));
        }
    }
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["10.0.0.3"], "the rarer one first");
}

#[test]
fn severities_have_rates_of_their_own() {
    let mut sensor = Sensor::new(1);
    let rate = |alerts| {
        Some(Rate {
            alerts,
            period_ns: DAY,
        })
    };
    sensor.budget = Budget::new(&BudgetSettings {
        shared: None,
        by_severity: [rate(1), rate(1), rate(40), rate(40)],
        ..BudgetSettings::default()
    });
    // High evidence (rarity 6 and more) is told, medium has used up its one.
    let mut told = [0; 2];
    for host in 0..10 {
        let at = START + u64::from(host) * SECOND;
        told[0] += sensor.see(host + 100, at, 1e-3).len();
        told[1] += sensor.see(host + 200, at, 1e-8).len();
    }
    assert!(told[0] <= 1 && told[1] == 10, "{told:?}");
}
