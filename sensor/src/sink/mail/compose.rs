//! How a mail reads.
//!
//! The mails on one incident are one thread: the first has a `Message-ID` made of the incident's id, all later ones refer
//! to it (RFC 5322, section 3.6.4), and have its subject with `Re:` in front, which Gmail wants too. So a mail that is
//! delivered twice has the same `Message-ID` twice, and most servers keep one.

use std::{collections::HashMap, fmt::Write as _};

use lettre::{
    Message,
    error::Error,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    score::{Severity, Stage, several},
    sink::{
        alert::Alert,
        escape::html,
        notify::{Notice, clip, line, plain},
    },
    time::Stamp,
};

/// Incidents listed in one mail.
const LISTED: usize = 50;

/// An alert on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// How grave the incident was when it was told first: the subject of its thread says so.
    pub first: Severity,
    /// The alert.
    pub alert: Alert,
}

/// Who writes to whom.
#[derive(Clone, Debug)]
pub struct Author {
    /// Sender.
    pub from: Mailbox,
    /// Recipients.
    pub to: Vec<Mailbox>,
    /// Name of this sensor.
    pub sensor: String,
}

impl Author {
    /// A `Message-ID` at the domain of the sender.
    fn id(&self, what: &str) -> String {
        let sensor = plain(&self.sensor, 24, "sensor");
        format!("<{what}.{sensor}@{}>", self.from.email.domain())
    }

    fn mail(
        &self,
        subject: &str,
        severity: Severity,
        id: String,
        thread: Option<String>,
        text: String,
        html: String,
    ) -> Result<Vec<u8>, Error> {
        let mut mail = Message::builder().from(self.from.clone());
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        // Where a text holds `=?`, a reader would take what follows for an encoded word (RFC 2047).
        mail = mail
            .subject(clip(subject, 150).replace("=?", "= ?"))
            .message_id(Some(id));
        if let Some(thread) = thread {
            mail = mail.in_reply_to(thread.clone()).references(thread);
        }
        // RFC 3834, so that no absence notice answers.
        mail = mail
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Auto-Response-Suppress", "All"))
            .raw_header(header("X-Anomaly-Detect-Severity", severity.name()));
        if severity == Severity::Critical {
            mail = mail.raw_header(header("Importance", "high"));
        }
        let mail = mail.multipart(MultiPart::alternative_plain_html(text, html))?;
        Ok(mail.formatted())
    }
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// The mail on one alert, as it goes over the wire.
///
/// # Errors
/// An address that is none in a mail; the configuration has looked at that.
pub fn single(author: &Author, letter: &Letter) -> Result<Vec<u8>, Error> {
    let alert = &letter.alert;
    let notice = Notice::from(alert);
    let subject = format!("[{}] {}", letter.first.name(), notice.title);
    let incident = plain(&alert.id, 32, "incident");
    let root = author.id(&incident);
    let (subject, id, thread) = if alert.stage == Stage::New {
        (subject, root, None)
    } else {
        let (stage, count) = (alert.stage.name(), alert.count);
        let state = format!("{incident}.{stage}.{count:x}.{:x}", alert.last_ns);
        (format!("Re: {subject}"), author.id(&state), Some(root))
    };
    author.mail(
        &subject,
        alert.severity,
        id,
        thread,
        text(author, &notice, &incident),
        page(author, &notice, &incident),
    )
}

/// One mail on many alerts: the last that is known of each incident, gravest first.
///
/// # Errors
/// As for a single one.
pub fn digest(author: &Author, letters: &[Letter]) -> Result<Vec<u8>, Error> {
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (at, letter) in letters.iter().enumerate() {
        last.insert(&letter.alert.id, at);
    }
    let mut places: Vec<usize> = last.into_values().collect();
    places.sort_by_key(|at| (std::cmp::Reverse(letters[*at].alert.severity), *at));
    let notices: Vec<_> = places
        .iter()
        .take(LISTED)
        .map(|at| (Notice::from(&letters[*at].alert), &letters[*at].alert))
        .collect();
    let more = places.len() - notices.len();
    let gravest = places
        .first()
        .map_or(Severity::Info, |at| letters[*at].alert.severity);
    let subject = format!("[{}] {}", gravest.name(), tally(letters, &places));
    let mut hash = Sha256::new();
    for at in &places {
        let alert = &letters[*at].alert;
        hash.update(format!("{}.{}.{}\n", alert.id, alert.count, alert.last_ns));
    }
    let hex: String = hash.finalize()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();

    let mut text = format!("{} on {}\n", tally(letters, &places), author.sensor);
    let mut rows = String::new();
    for (notice, alert) in &notices {
        let (time, id) = (Stamp(alert.first_ns).short(), line(&alert.id, 32));
        let head = notice.head();
        let _ = write!(
            text,
            "\n{head}: {}\n  {}\n  since {time} UTC, incident {id}\n",
            notice.title, notice.sentence
        );
        let _ = writeln!(
            rows,
            "<tr><td style=\"padding:8px 12px;border-left:4px solid #{:06x};border-bottom:1px solid #8884\">\
             <b>{}: {}</b><br>{}<br><small>since {time} UTC, incident {}</small></td></tr>",
            notice.colour(),
            html(&head),
            html(&notice.title),
            html(&notice.sentence),
            html(&id)
        );
    }
    if more > 0 {
        let _ = write!(text, "\nand {more} more\n");
        let _ = writeln!(
            rows,
            "<tr><td style=\"padding:8px 12px\">and {more} more</td></tr>"
        );
    }
    text += "\nAll of them: anomaly-detect alerts list\n";
    let html = format!(
        "{HEAD}<p>{} on {}</p>\n<table style=\"border-collapse:collapse\">\n{rows}</table>\n\
         <p>All of them: <code>anomaly-detect alerts list</code></p>\n</body></html>\n",
        html(&tally(letters, &places)),
        html(&author.sensor)
    );
    author.mail(
        &subject,
        gravest,
        author.id(&format!("digest.{hex}")),
        None,
        text,
        html,
    )
}

/// `45 incidents: 3 critical, 42 low`.
fn tally(letters: &[Letter], places: &[usize]) -> String {
    let mut parts = Vec::new();
    for severity in Severity::ALL.iter().rev() {
        let of = places
            .iter()
            .filter(|at| letters[**at].alert.severity == *severity);
        match of.count() {
            0 => {}
            number => parts.push(format!("{number} {}", severity.name())),
        }
    }
    format!(
        "{}: {}",
        several(places.len() as f64, "incident"),
        parts.join(", ")
    )
}

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"color-scheme\" content=\"light dark\"></head>\n\
    <body style=\"font:15px/1.45 system-ui,sans-serif;max-width:44em\">\n";

fn text(author: &Author, notice: &Notice, incident: &str) -> String {
    let mut text = format!(
        "{}: {}\n\n{}\n\n",
        notice.head(),
        notice.title,
        notice.sentence
    );
    for fact in &notice.facts {
        let _ = writeln!(text, "{:<20} {}", fact.label, fact.value);
    }
    if !notice.why.is_empty() {
        text += "\nWhy\n";
        for why in &notice.why {
            let _ = writeln!(text, "- {why}");
        }
    }
    let _ = write!(
        text,
        "\nMore:  anomaly-detect alerts show {incident}\nDone:  anomaly-detect alerts ack {incident}\n\n\
         {} on {}\n",
        notice.footer, author.sensor
    );
    text
}

fn page(author: &Author, notice: &Notice, incident: &str) -> String {
    let mut page = format!(
        "{HEAD}<h2 style=\"margin:0;padding:4px 12px;border-left:6px solid #{:06x};font-size:1.2em\">{}: {}</h2>\n\
         <p>{}</p>\n<table style=\"border-collapse:collapse\">\n",
        notice.colour(),
        html(&notice.head()),
        html(&notice.title),
        html(&notice.sentence)
    );
    for fact in &notice.facts {
        let _ = writeln!(
            page,
            "<tr><th style=\"text-align:left;vertical-align:top;padding:2px 16px 2px 0;font-weight:600\">{}</th>\
             <td style=\"padding:2px 0\">{}</td></tr>",
            html(fact.label),
            html(&fact.value)
        );
    }
    page += "</table>\n";
    if !notice.why.is_empty() {
        page += "<p><b>Why</b></p>\n<ul>\n";
        for why in &notice.why {
            let _ = writeln!(page, "<li>{}</li>", html(why));
        }
        page += "</ul>\n";
    }
    let _ = write!(
        page,
        "<p>More: <code>anomaly-detect alerts show {incident}</code><br>\
         Done: <code>anomaly-detect alerts ack {incident}</code></p>\n<p><small>{} on {}</small></p>\n</body></html>\n",
        html(&notice.footer),
        html(&author.sensor)
    );
    page
}

#[cfg(test)]
mod tests;
