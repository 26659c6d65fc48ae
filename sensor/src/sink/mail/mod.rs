//! Alerts by mail: one thread of mails for each incident, and one mail for many alerts that come at once.

mod compose;
mod connect;
mod deliver;

pub use self::{
    compose::{Author, Letter, digest, single},
    connect::Server,
    deliver::Mailer,
};

use super::{message::Message, notify::Gate, outlet::Encode};
use crate::{config, score::Stage};

/// Turns alerts into letters.
#[derive(Debug)]
pub struct Letters(Gate);

impl Letters {
    /// As the section says.
    pub fn new(mail: &config::Mail) -> Self {
        Self(Gate::new(mail.min_severity, mail.ends, mail.repeat))
    }
}

impl Encode for Letters {
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>) {
        let Message::Alert(alert) = message else {
            return;
        };
        if alert.stage == Stage::Progress {
            return;
        }
        if let Some(first) = self.0.admit(alert) {
            let letter = Letter {
                first,
                alert: alert.as_ref().clone(),
            };
            // An alert is plain data: this cannot fail.
            parcels.push(serde_json::to_vec(&letter).unwrap_or_default());
        }
    }
}
