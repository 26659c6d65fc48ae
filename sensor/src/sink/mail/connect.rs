//! A connection to the mail server, as safe as was asked for or none.

use std::{io, path::PathBuf, time::Duration};

use lettre::{
    Address,
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{Certificate, SmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt, Rset},
        extension::ClientId,
        response::Severity,
    },
};

use crate::{
    config::{self, Endpoint, Security},
    sink::{
        notify::{Roots, hinted, line, secret},
        outlet::DeliveryError,
    },
};

/// How to come to the mail server.
#[derive(Clone, Debug)]
pub struct Server {
    endpoint: Endpoint,
    security: Security,
    account: Option<(String, PathBuf)>,
    roots: Roots,
    timeout: Duration,
}

impl Server {
    /// As the section says; nothing where it names no server.
    pub fn new(mail: &config::Mail, roots: Roots) -> Option<Self> {
        Some(Self {
            endpoint: mail.server.clone()?,
            security: mail.security,
            account: mail.account.clone(),
            roots,
            timeout: mail.timeout,
        })
    }

    /// Connects, encrypts, and says who we are.
    ///
    /// # Errors
    /// Whatever goes wrong, always worth trying again: none of it is a mail's fault.
    pub(super) fn connect(&self) -> Result<SmtpConnection, DeliveryError> {
        let tls = match self.security {
            Security::Plain => None,
            Security::StartTls | Security::Tls => Some(self.tls()?),
        };
        let hello = ClientId::default();
        let at_once = tls.as_ref().filter(|_| self.security == Security::Tls);
        let address = (self.endpoint.host.as_str(), self.endpoint.port);
        let mut connection =
            SmtpConnection::connect(address, Some(self.timeout), &hello, at_once, None)
                .map_err(|error| failed("cannot connect", &error))?;
        if let Some(tls) = tls.filter(|_| self.security == Security::StartTls) {
            if !connection.can_starttls() {
                connection.abort();
                return Err(DeliveryError::later(
                    "the server offers no STARTTLS: mail.security = \"tls\" is for port 465, \"plain\" for this machine",
                ));
            }
            connection
                .starttls(&tls, &hello)
                .map_err(|error| failed("STARTTLS", &error))?;
        }
        if let Some((name, file)) = &self.account {
            let password = secret(file).map_err(DeliveryError::later)?;
            let credentials = Credentials::new(name.clone(), password);
            if let Err(error) = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials)
            {
                let failed = failed("cannot log in", &error);
                connection.abort();
                return Err(failed);
            }
        }
        Ok(connection)
    }

    fn tls(&self) -> Result<TlsParameters, DeliveryError> {
        let mut tls = TlsParameters::builder(self.endpoint.host.clone());
        for certificate in self.roots.of_file() {
            let certificate = Certificate::from_der(certificate.to_vec());
            tls = tls.add_root_certificate(certificate.map_err(|error| failed("TLS", &error))?);
        }
        tls.build().map_err(|error| failed("TLS", &error))
    }
}

/// What became of a mail.
#[derive(Debug)]
pub(super) struct Sent {
    /// What the server said.
    pub(super) said: String,
    /// Recipients that it refused, with its words.
    pub(super) refused: Vec<String>,
}

/// Hands over one mail. A recipient that is refused keeps the others from nothing.
///
/// # Errors
/// Refused for good (5yz on the mail or on every recipient), or worth trying again.
pub(super) fn send(
    connection: &mut SmtpConnection,
    from: &Address,
    to: &[Address],
    mail: &[u8],
) -> Result<Sent, DeliveryError> {
    connection
        .command(Mail::new(Some(from.clone()), Vec::new()))
        .map_err(|error| judged("the sender", &error))?;
    let (mut accepted, mut refused, mut later) = (0, Vec::new(), None);
    for address in to {
        match connection.command(Rcpt::new(address.clone(), Vec::new())) {
            Ok(_) => accepted += 1,
            Err(error) => {
                let error = judged(address.as_ref(), &error);
                refused.push(error.to_string());
                if matches!(error, DeliveryError::Later { .. }) {
                    later = Some(error);
                }
            }
        }
    }
    if accepted == 0 {
        // The next mail begins anew; where that fails too, the next command says so.
        let _ = connection.command(Rset);
        return Err(later.unwrap_or(DeliveryError::Never {
            why: line(&refused.join("; "), 300),
        }));
    }
    connection
        .command(Data)
        .map_err(|error| judged("the mail", &error))?;
    let answer = connection
        .message(mail)
        .map_err(|error| judged("the mail", &error))?;
    let words: Vec<_> = answer.message().collect();
    Ok(Sent {
        said: line(&format!("{} {}", answer.code(), words.join(" ")), 200),
        refused,
    })
}

/// A permanent no is one (RFC 5321, section 4.2.1), but not where it is about who we are (RFC 4954, section 6): a person
/// cures that, and the mails can wait for it.
fn judged(what: &str, error: &Error) -> DeliveryError {
    let why = words(what, error);
    let permanent = error.status().filter(|_| error.is_permanent());
    match permanent {
        Some(code) if ![530, 534, 535, 538].contains(&u16::from(code)) => {
            debug_assert!(code.severity == Severity::PermanentNegativeCompletion);
            DeliveryError::Never { why }
        }
        _ => DeliveryError::later(why),
    }
}

fn failed(what: &str, error: &Error) -> DeliveryError {
    DeliveryError::later(words(what, error))
}

/// What went wrong with what, with all causes, in one line.
fn words(what: &str, error: &Error) -> String {
    let mut text = format!("{what}: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<io::Error>().map(io::Error::kind);
        if let Some(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) = io {
            return format!("{what}: no answer in time (mail.timeout)");
        }
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text += &format!(": {inner_text}");
        }
        cause = inner.source();
    }
    line(&hinted(&text, "mail.ca_file"), 300)
}
