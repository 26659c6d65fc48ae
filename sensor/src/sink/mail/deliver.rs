//! Takes letters to the mail server: a few at once as mails of their own, more as one.

use std::time::{Duration, Instant};

use lettre::{Address, error::Error};

use super::{
    compose::{Author, Letter, digest, single},
    connect::{Sent, Server, send},
};
use crate::sink::outlet::{Deliver, DeliveryError};

/// Mails that may go at once before they must keep their distance.
const BURST: u32 = 5;

/// Mails alerts.
#[derive(Debug)]
pub struct Mailer {
    server: Server,
    author: Author,
    /// One mail in this time, in the long run.
    interval: Duration,
    /// Mails that may go now, and since when one more is earned.
    allowed: u32,
    since: Instant,
    stopping: bool,
    said: String,
    /// Recipients refused the last time: said once, not with every mail.
    refused: Vec<String>,
}

impl Mailer {
    /// Connects to nobody yet.
    pub fn new(server: Server, author: Author, interval: Duration) -> Self {
        Self {
            server,
            author,
            interval,
            allowed: BURST,
            since: Instant::now(),
            stopping: false,
            said: String::new(),
            refused: Vec::new(),
        }
    }

    /// Earns what time has earned. Answers how many mails may go, or how long until one may.
    fn allowance(&mut self, now: Instant) -> Result<u32, Duration> {
        if self.interval.is_zero() || self.stopping {
            self.allowed = BURST;
            return Ok(u32::MAX);
        }
        while self.allowed < BURST && now.duration_since(self.since) >= self.interval {
            self.allowed += 1;
            self.since += self.interval;
        }
        if self.allowed == BURST {
            self.since = now;
        }
        match self.allowed {
            0 => Err((self.since + self.interval).saturating_duration_since(now)),
            allowed => Ok(allowed),
        }
    }

    fn mail(&mut self, letters: &[Letter]) -> Result<usize, (usize, DeliveryError)> {
        let allowed = self.allowance(Instant::now());
        let allowed = allowed.map_err(|wait| (0, DeliveryError::Wait(wait)))?;
        let singles = letters.len() <= allowed.min(BURST) as usize;
        let mails: Vec<(usize, Result<Vec<u8>, Error>)> = if singles {
            let one = |letter| (1, single(&self.author, letter));
            letters.iter().map(one).collect()
        } else {
            vec![(letters.len(), digest(&self.author, letters))]
        };
        let mut connection = self.server.connect().map_err(|error| (0, error))?;
        let from = self.author.from.email.clone();
        let to: Vec<Address> = self.author.to.iter().map(|to| to.email.clone()).collect();
        let mut done = 0;
        for (told, mail) in mails {
            let mail = mail.map_err(|error| (done, DeliveryError::never(error)))?;
            match send(&mut connection, &from, &to, &mail) {
                Ok(sent) => self.sent(sent),
                Err(error) => {
                    connection.abort();
                    return Err((done, error));
                }
            }
            self.allowed = self.allowed.saturating_sub(1);
            done += told;
        }
        // The mails are there; whether the server says goodbye does not matter.
        let _ = connection.quit();
        Ok(done)
    }

    fn sent(&mut self, sent: Sent) {
        self.said = sent.said;
        if sent.refused != self.refused {
            for refused in &sent.refused {
                log::warn!("mail: {refused}");
            }
            self.refused = sent.refused;
        }
        if let Some(first) = self.refused.first() {
            self.said += &format!("; refused: {first}");
        }
    }
}

impl Deliver for Mailer {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        let mut letters = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            match serde_json::from_slice(parcel) {
                Ok(letter) => letters.push(letter),
                Err(_) => break,
            }
        }
        if letters.is_empty() && !parcels.is_empty() {
            // Of an earlier version, perhaps.
            return (0, Err(DeliveryError::never("this is no letter")));
        }
        match self.mail(&letters) {
            Ok(done) => (done, Ok(())),
            Err((done, error)) => (done, Err(error)),
        }
    }

    fn stopping(&mut self) {
        self.stopping = true;
    }

    fn said(&self) -> String {
        self.said.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Layers, sink::notify::Roots};

    fn mailer(interval: u64) -> Mailer {
        let mut layers = Layers::default();
        for (key, value) in [
            ("server", "127.0.0.1:1"),
            ("from", "a@b.c"),
            ("to", "d@e.f"),
        ] {
            let key = format!("mail.{key}");
            layers.flag(&key, value, "--set").unwrap();
        }
        let mail = crate::config::Config::from_layers(&layers).unwrap().mail;
        let author = Author {
            from: mail.from.clone().unwrap(),
            to: mail.to.clone(),
            sensor: "s".to_owned(),
        };
        let server = Server::new(&mail, Roots::default()).unwrap();
        Mailer::new(server, author, Duration::from_secs(interval))
    }

    #[test]
    fn mails_keep_their_distance_after_the_first_few() {
        let mut mailer = mailer(60);
        let begin = mailer.since;
        let at = |second| begin + Duration::from_secs(second);
        assert_eq!(mailer.allowance(at(0)), Ok(BURST));
        mailer.allowed = 0;
        assert_eq!(mailer.allowance(at(10)), Err(Duration::from_secs(50)));
        assert_eq!(mailer.allowance(at(60)), Ok(1));
        mailer.allowed = 0;
        assert_eq!(mailer.allowance(at(100)), Err(Duration::from_secs(20)));
        assert_eq!(mailer.allowance(at(200)), Ok(2));
        assert_eq!(mailer.allowance(at(100_000)), Ok(BURST));
        mailer.allowed = 0;
        assert_eq!(mailer.allowance(at(100_001)), Err(Duration::from_secs(59)));
        mailer.stopping();
        assert_eq!(mailer.allowance(at(100_001)), Ok(u32::MAX));
    }
}
