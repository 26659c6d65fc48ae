//! Section `mail`: who is told by mail.

use std::{path::PathBuf, time::Duration};

use lettre::message::Mailbox;

use super::{ConfigError, Endpoint, Grade, Layers};

/// How the way to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Plain until the server was asked for encryption, which it must offer (RFC 3207).
    StartTls,
    /// Encrypted from the first byte (RFC 8314).
    Tls,
    /// Not at all.
    Plain,
}

/// Section `mail`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// The server; `None` for no mail.
    pub server: Option<Endpoint>,
    /// How the way to it is protected.
    pub security: Security,
    /// Sender; there is one where there is a server.
    pub from: Option<Mailbox>,
    /// Recipients; there is one where there is a server.
    pub to: Vec<Mailbox>,
    /// Account and the file with its password.
    pub account: Option<(String, PathBuf)>,
    /// Least severity.
    pub min_severity: Grade,
    /// One mail in this time, after the first few.
    pub interval: Duration,
    /// Least time between two mails on one incident.
    pub repeat: Duration,
    /// Whether the end of an incident is mailed.
    pub ends: bool,
    /// Certificates to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

impl Mail {
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let (security, port, anywhere) = layers.choice(
            "mail.security",
            &[
                ("starttls", (Security::StartTls, 587, true)),
                ("tls", (Security::Tls, 465, true)),
                ("plain", (Security::Plain, 25, false)),
                ("plain-anywhere", (Security::Plain, 25, true)),
            ],
        )?;
        let server = layers.endpoint("mail.server", port)?;
        let from = mailbox(layers, "mail.from", &layers.text("mail.from")?)?;
        let to = layers.list("mail.to")?;
        let to = to
            .iter()
            .filter_map(|text| mailbox(layers, "mail.to", text).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(server) = &server {
            if !anywhere && !server.is_this_machine() {
                return layers.refused(
                    "mail.security",
                    format!("plain is for this machine only, and {server} is another: choose starttls or tls, or plain-anywhere if everyone on the way may read and change the mails"),
                );
            }
            if from.is_none() {
                return layers.refused(
                    "mail.from",
                    "a sender is wanted where there is mail.server, for example sensor@example.org"
                        .to_owned(),
                );
            }
            if to.is_empty() {
                return layers.refused(
                    "mail.to",
                    "a recipient is wanted where there is mail.server, for example [\"soc@example.org\"]"
                        .to_owned(),
                );
            }
        }
        let username = layers.text("mail.username")?;
        let account = match (username.is_empty(), layers.file("mail.password_file")?) {
            (true, None) => None,
            (false, Some(file)) => Some((username, file)),
            (true, Some(_)) => {
                return layers.refused(
                    "mail.username",
                    "a name is wanted where there is mail.password_file".to_owned(),
                );
            }
            (false, None) => {
                return layers.refused(
                    "mail.password_file",
                    "a file is wanted where there is mail.username".to_owned(),
                );
            }
        };
        Ok(Self {
            server,
            security,
            from,
            to,
            account,
            min_severity: Grade::of(layers, "mail.min_severity")?,
            interval: layers.duration("mail.interval")?.unwrap_or_default(),
            repeat: layers.duration("mail.repeat")?.unwrap_or_default(),
            ends: layers.flag_of("mail.ends")?,
            ca_file: layers.file("mail.ca_file")?,
            timeout: layers.wait("mail.timeout")?,
        })
    }
}

fn mailbox(layers: &Layers, key: &'static str, text: &str) -> Result<Option<Mailbox>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(mailbox) => Ok(Some(mailbox)),
        Err(_) => layers.refused(
            key,
            format!("`{text}` is no mail address; write for example soc@example.org or \"Night shift <soc@example.org>\""),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let mut layers = Layers::default();
        layers.read_text(Path::new("s.toml"), text)?;
        Config::from_layers(&layers)
    }

    #[test]
    fn mail_is_complete_or_refused() {
        let sound =
            "[mail]\nserver = \"mx.example.org\"\nfrom = \"S <s@example.org>\"\nto = [\"a@b.c\"]\n";
        let mail = read(sound).unwrap().mail;
        assert_eq!(mail.server.unwrap().to_string(), "mx.example.org:587");
        let tls = read(&format!("{sound}security = \"tls\"\n")).unwrap().mail;
        assert_eq!(tls.server.unwrap().port, 465);
        assert!(read(&format!("{sound}security = \"plain-anywhere\"\n")).is_ok());
        for (wrong, word) in [
            (format!("{sound}security = \"plain\"\n"), "plain-anywhere"),
            (format!("{sound}username = \"u\"\n"), "mail.password_file"),
            (format!("{sound}password_file = \"f\"\n"), "mail.username"),
            (
                sound.replace("a@b.c", "nobody"),
                "`nobody` is no mail address",
            ),
            (
                sound.replace("a@b.c", "a@b.c\\r\\nBcc: x@y.z"),
                "no mail address",
            ),
            (sound.replace("\"a@b.c\"", ""), "mail.to"),
            (sound.replace("S <s@example.org>", ""), "mail.from"),
            (format!("{sound}timeout = \"2m\"\n"), "mail.timeout"),
        ] {
            let error = read(&wrong).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
