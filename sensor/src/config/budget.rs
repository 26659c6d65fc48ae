//! `20/day`, or `critical=10/day, 5/hour`: how many incidents to tell.

use std::fmt;

/// So many alerts in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertRate {
    /// Alerts, at least 1.
    pub alerts: u32,
    /// An hour, a day or a week.
    pub period_seconds: u64,
}

/// How many incidents to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertBudget {
    /// For all severities without a rate of their own.
    pub shared: Option<AlertRate>,
    /// For low, medium, high and critical apart.
    pub by_severity: [Option<AlertRate>; 4],
}

/// What stands for no bound at all.
const ALL: &str = "all";
const PERIODS: [(&str, u64); 3] = [("hour", 3600), ("day", 86_400), ("week", 604_800)];
const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];
const FORM: &str = "write for example 20/day, or critical=10/day, 5/hour, or all";

impl AlertRate {
    /// Reads `5/hour`; nothing for an empty text.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn optional(text: &str) -> Result<Option<Self>, String> {
        match text.trim() {
            "" => Ok(None),
            text => match Self::parse(text) {
                None => Err(format!(
                    "`{text}` is no rate of alerts; write for example 5/hour or 20/day"
                )),
                rate => Ok(rate),
            },
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (alerts, period) = text.split_once('/')?;
        let alerts = alerts.trim().parse().ok().filter(|alerts| *alerts > 0)?;
        let (_, period_seconds) = PERIODS.iter().find(|(name, _)| *name == period.trim())?;
        Some(Self {
            alerts,
            period_seconds: *period_seconds,
        })
    }
}

impl AlertBudget {
    /// Of a watch for which nobody says otherwise: more than a person reads in a day, and few enough that a baseline which does not fit
    /// its network does not drown them.
    pub const OF_A_WATCH: Self = Self {
        shared: Some(AlertRate {
            alerts: 100,
            period_seconds: 86_400,
        }),
        by_severity: [None; 4],
    };

    /// Whether there is a bound for any severity.
    pub fn is_bounded(&self) -> bool {
        self.shared.is_some() || self.by_severity.iter().any(Option::is_some)
    }

    /// Reads a budget, or `all`; nothing for an empty text.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let mut budget = Self::default();
        if text.trim() == ALL {
            return Ok(Some(budget));
        }
        for part in text.split(',').map(str::trim) {
            let (place, rate) = match part.split_once('=') {
                None => (&mut budget.shared, part),
                Some((name, rate)) => {
                    let name = name.trim();
                    let Some(at) = SEVERITIES.iter().position(|known| *known == name) else {
                        return Err(format!(
                            "`{name}` is no severity; there are {}",
                            SEVERITIES.join(", ")
                        ));
                    };
                    (&mut budget.by_severity[at], rate)
                }
            };
            if place.is_some() {
                return Err(format!("`{part}` is the second rate for the same; {FORM}"));
            }
            let Some(rate) = AlertRate::parse(rate) else {
                return Err(format!("`{part}` is no rate of alerts; {FORM}"));
            };
            *place = Some(rate);
        }
        if budget.shared.is_none() && budget.by_severity.iter().any(Option::is_none) {
            return Err(format!(
                "a rate for the other severities is missing; {FORM}"
            ));
        }
        Ok(Some(budget))
    }
}

impl fmt::Display for AlertRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = PERIODS
            .iter()
            .find(|(_, seconds)| *seconds == self.period_seconds)
            .map_or("?", |(name, _)| name);
        write!(f, "{}/{period}", self.alerts)
    }
}

impl fmt::Display for AlertBudget {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_bounded() {
            return f.write_str(ALL);
        }
        let own = SEVERITIES
            .iter()
            .zip(self.by_severity)
            .filter_map(|(name, rate)| Some(format!("{name}={}", rate?)));
        let parts: Vec<_> = own
            .chain(self.shared.map(|rate| rate.to_string()))
            .collect();
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_read_as_they_are_written() {
        for text in ["20/day", "1/week", "critical=10/day, 5/hour", "all"] {
            let budget = AlertBudget::parse(text).unwrap().unwrap();
            assert_eq!(budget.to_string(), text);
        }
        let all = "low=1/day,medium=2/day,high=3/day,critical=4/day";
        assert!(AlertBudget::parse(all).unwrap().unwrap().shared.is_none());
        assert_eq!(AlertBudget::parse(" ").unwrap(), None);
    }

    #[test]
    fn what_is_no_budget_says_why() {
        for (text, why) in [
            ("20", "no rate"),
            ("0/day", "no rate"),
            ("-3/day", "no rate"),
            ("20/month", "no rate"),
            ("20/day,3/day", "second"),
            ("worst=1/day,2/day", "no severity"),
            ("critical=1/day", "missing"),
            ("all, 3/day", "no rate"),
        ] {
            let said = AlertBudget::parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
