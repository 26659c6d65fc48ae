//! Posts, and understands the answer.

use std::{
    io::Read as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use ureq::{
    Agent,
    http::{HeaderMap, StatusCode},
    tls::{Certificate, RootCerts, TlsConfig},
};

use super::sign;
use crate::{
    config::Target,
    sink::{
        notify::{Roots, hinted, line, secret},
        outlet::{Deliver, DeliveryError},
    },
    time::now,
};

/// What is read of an answer: enough for its reason.
const ANSWER_BYTES: u64 = 2048;
/// Longest time that an answer can make us wait.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Posts to one target.
pub struct Post {
    url: String,
    token_file: Option<PathBuf>,
    secret_file: Option<PathBuf>,
    agent: Agent,
    timeout: Duration,
    not_before: Option<Instant>,
    said: String,
}

impl Post {
    /// Asks nothing yet. A target on this machine is never asked by way of a proxy; for others the environment counts
    /// (`HTTPS_PROXY`, `NO_PROXY`).
    pub fn new(target: &Target, roots: &Roots, timeout: Duration) -> Self {
        let trusted: Vec<_> = roots
            .all()
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect();
        let trusted = if trusted.is_empty() {
            // A machine without certificates, such as a container of one binary: those of Mozilla.
            RootCerts::WebPki
        } else {
            RootCerts::Specific(Arc::new(trusted))
        };
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // To follow would be to send an alert, and what proves who we are, where nobody said to.
            .max_redirects(0)
            .timeout_global(Some(timeout))
            .max_idle_connections(1)
            .user_agent(concat!("anomaly-detect/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(trusted).build());
        if target.is_this_machine() {
            config = config.proxy(None);
        }
        Self {
            url: target.url.clone(),
            token_file: target.token_file.clone(),
            secret_file: target.secret_file.clone(),
            agent: config.build().new_agent(),
            timeout,
            not_before: None,
            said: String::new(),
        }
    }

    fn post(&mut self, body: &[u8]) -> Result<(), DeliveryError> {
        if let Some(left) = self
            .not_before
            .map(|then| then.saturating_duration_since(Instant::now()))
            && !left.is_zero()
        {
            return Err(DeliveryError::Wait(left));
        }
        let id = sign::id(body);
        let seconds = now() / 1_000_000_000;
        let mut request = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", seconds.to_string());
        if let Some(file) = &self.token_file {
            let token = secret(file).map_err(DeliveryError::later)?;
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(file) = &self.secret_file {
            let key = secret(file).map_err(DeliveryError::later)?;
            request = request.header(
                "webhook-signature",
                sign::signature(&key, &id, seconds, body),
            );
        }
        let mut response = request.send(body).map_err(|error| self.failed(&error))?;
        let status = response.status();
        let mut answer = Vec::new();
        // An answer that breaks off is still an answer: its status says what became of the alert.
        let _ = response
            .body_mut()
            .as_reader()
            .take(ANSWER_BYTES)
            .read_to_end(&mut answer);
        let answer = line(&String::from_utf8_lossy(&answer), 200);
        self.said = match answer.as_str() {
            "" => status.to_string(),
            answer => format!("{status}: {answer}"),
        };
        self.judge(status, response.headers())
    }

    fn judge(&mut self, status: StatusCode, headers: &HeaderMap) -> Result<(), DeliveryError> {
        let why = self.said.clone();
        let code = status.as_u16();
        let credentials = self.token_file.is_some() || self.secret_file.is_some();
        match code {
            200..=299 => Ok(()),
            408 | 425 | 429 | 500..=599 => {
                let after = headers
                    .get("retry-after")
                    .and_then(|value| value.to_str().ok())
                    .and_then(|text| retry_after(text, now()));
                // Who restarts the courier must not make it forget what the receiver asked for.
                self.not_before = after.map(|after| Instant::now() + after);
                Err(DeliveryError::Later { why, after })
            }
            // Not this alert's fault, and cured by a person: the files are read anew each time.
            401 | 403 if credentials => Err(DeliveryError::later(why)),
            407 => Err(DeliveryError::later(why)),
            300..=399 => Err(DeliveryError::later(format!(
                "{why}: redirects are not followed, write down the address it leads to"
            ))),
            _ => Err(DeliveryError::Never { why }),
        }
    }

    /// Words for an error on the way, without the address.
    fn failed(&self, error: &ureq::Error) -> DeliveryError {
        let why = match error {
            ureq::Error::Timeout(_) => {
                format!(
                    "no answer within {}",
                    crate::time::words(self.timeout.as_secs_f64())
                )
            }
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::HostNotFound => "its name is not known (DNS)".to_owned(),
            ureq::Error::BadUri(_) => "its address is none".to_owned(),
            ureq::Error::Rustls(error) => format!("TLS: {error}"),
            ureq::Error::Http(_) => {
                // The token: what we write into headers ourselves is plain.
                "the token holds characters that a header cannot carry".to_owned()
            }
            other => other.to_string(),
        };
        let why = hinted(&why.replace(&self.url, "..."), "webhook.ca_file");
        DeliveryError::later(line(&why, 300))
    }
}

impl Deliver for Post {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        for (at, parcel) in parcels.iter().enumerate() {
            if let Err(error) = self.post(parcel) {
                return (at, Err(error));
            }
        }
        (parcels.len(), Ok(()))
    }

    fn said(&self) -> String {
        self.said.clone()
    }
}

/// Seconds, or a date (RFC 9110, section 10.2.3). A wish for more than ten minutes is not granted.
fn retry_after(text: &str, now_ns: u64) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse::<f64>() {
        Ok(seconds) if seconds >= 0.0 => {
            Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT)
        }
        Ok(_) => return None,
        Err(_) => {
            let then = jiff::fmt::rfc2822::parse(text)
                .ok()?
                .timestamp()
                .as_nanosecond();
            let left = then.checked_sub(i128::from(now_ns))?;
            Duration::from_nanos(u64::try_from(left).ok()?)
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_to_wait_are_understood() {
        let now = 1_767_600_000_000_000_000;
        for (text, seconds) in [
            ("0", Some(0.0)),
            (" 120 ", Some(120.0)),
            ("0.35", Some(0.35)),
            ("86400", Some(600.0)),
            ("1e300", Some(600.0)),
            ("-1", None),
            ("nan", None),
            ("soon", None),
            ("Mon, 05 Jan 2026 08:00:30 GMT", Some(30.0)),
            ("Mon, 05 Jan 2026 07:00:30 GMT", None),
        ] {
            let wanted = seconds.map(Duration::from_secs_f64);
            assert_eq!(retry_after(text, now), wanted, "{text}");
        }
    }
}
