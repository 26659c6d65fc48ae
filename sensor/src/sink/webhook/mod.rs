//! Alerts posted over HTTP: to Slack, Discord, Microsoft Teams, or as they are to whoever takes JSON.

mod deliver;
mod sign;
mod template;

pub use self::{deliver::Post, template::body};

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{message::Message, notify::Gate, outlet::Encode};
use crate::{
    config::{Grade, Target, Template},
    score::Stage,
};

/// Turns alerts into what one target is posted.
#[derive(Debug)]
pub struct Bodies {
    template: Template,
    gate: Gate,
}

impl Bodies {
    /// For a target, of a section that tells from `least` on, and people the end of an incident if it `ends`.
    pub fn new(target: &Target, least: Grade, ends: bool) -> Self {
        let least = target.min_severity.unwrap_or(least);
        let ends = ends || target.template == Template::Json;
        Self {
            template: target.template,
            gate: Gate::new(least, ends, Duration::ZERO),
        }
    }
}

impl Encode for Bodies {
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>) {
        let Message::Alert(alert) = message else {
            return;
        };
        if alert.stage != Stage::Progress && self.gate.admit(alert).is_some() {
            parcels.push(body(self.template, alert));
        }
    }
}

/// Name of the folder in which parcels for a target wait: the same as long as its address is, and without it.
pub fn folder(target: &Target) -> String {
    let digest = Sha256::digest(&target.url);
    let hex: String = digest[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("webhook-{}-{hex}", target.template.name())
}
