//! Alerts, and by wish flows, as entries of a Redis stream: what a fleet of sensors writes, one place reads.

mod connection;

use std::{path::PathBuf, time::Duration};

use redis::{RedisError, Value};

use self::connection::Connection;
use super::{
    alert::Alert,
    json,
    message::{EndedFlow, Message},
    notify::{Gate, hinted, line, secret},
    outlet::{Deliver, DeliveryError, Encode},
    tls::{Secured, TlsError},
};
use crate::{
    config::{self, Endpoint},
    time::Stamp,
};

/// Turns alerts and flows into entries: names and values in turn, as a JSON list.
#[derive(Debug)]
pub struct Entries {
    gate: Gate,
    flows: bool,
    sensor: String,
}

impl Entries {
    /// As the section says; `sensor` is the name of this one.
    pub fn new(settings: &config::Redis, sensor: &str) -> Self {
        Self {
            gate: Gate::new(settings.min_severity, true, Duration::ZERO),
            flows: settings.flows,
            sensor: sensor.to_owned(),
        }
    }

    fn alert(&self, alert: &Alert) -> Vec<u8> {
        let text = serde_json::to_string(alert).unwrap_or_default();
        entry(&[
            ("type", "alert"),
            ("sensor", &self.sensor),
            ("id", &alert.id),
            ("stage", alert.stage.name()),
            ("severity", alert.severity.name()),
            ("kind", &alert.kind),
            ("host", &alert.host),
            ("first", &Stamp(alert.first_ns).to_string()),
            ("last", &Stamp(alert.last_ns).to_string()),
            ("count", &alert.count.to_string()),
            ("json", &text),
        ])
    }

    fn flow(&self, flow: &EndedFlow) -> Vec<u8> {
        let mut object = json::columns(&flow.record);
        if let Some(verdict) = &flow.verdict {
            object.insert("score".to_owned(), json::number(verdict.score));
            object.insert("p_value".to_owned(), serde_json::json!(verdict.p_value));
            object.insert("severity".to_owned(), verdict.severity.name().into());
            object.insert("anomalous".to_owned(), verdict.anomalous.into());
            object.insert(
                "kind".to_owned(),
                verdict
                    .kind
                    .map_or(serde_json::Value::Null, |kind| kind.name().into()),
            );
        }
        if !flow.intel.is_empty() {
            object.insert("intel".to_owned(), serde_json::json!(flow.intel));
        }
        let text = serde_json::Value::Object(object).to_string();
        entry(&[("type", "flow"), ("sensor", &self.sensor), ("json", &text)])
    }
}

fn entry(fields: &[(&str, &str)]) -> Vec<u8> {
    let words: Vec<_> = fields
        .iter()
        .flat_map(|(name, value)| [name, value])
        .collect();
    // Texts alone: this cannot fail.
    serde_json::to_vec(&words).unwrap_or_default()
}

impl Encode for Entries {
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>) {
        match message {
            Message::Alert(alert) => {
                if self.gate.admit(alert).is_some() {
                    parcels.push(self.alert(alert));
                }
            }
            Message::Flows(flows) if self.flows => {
                parcels.extend(flows.iter().map(|flow| self.flow(flow)));
            }
            Message::Flows(_) => {}
        }
    }
}

/// Adds entries to a stream.
pub struct Stream {
    server: Endpoint,
    tls: Option<Secured>,
    username: String,
    password_file: Option<PathBuf>,
    database: i64,
    key: String,
    max_length: usize,
    timeout: Duration,
    connection: Option<Connection>,
    said: String,
}

impl Stream {
    /// Connects to nobody yet; nothing where the section names no server.
    ///
    /// # Errors
    /// Certificates that cannot be used.
    pub fn new(settings: &config::Redis) -> Result<Option<Self>, TlsError> {
        let Some(server) = settings.server.clone() else {
            return Ok(None);
        };
        let own = settings.own.as_ref();
        let own = own.map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        let tls = (settings.tls)
            .then(|| Secured::new(&server.host, settings.ca_file.as_deref(), own))
            .transpose()?;
        Ok(Some(Self {
            server,
            tls,
            username: settings.username.clone(),
            password_file: settings.password_file.clone(),
            database: settings.database,
            key: settings.stream.clone(),
            max_length: settings.max_length,
            timeout: settings.timeout,
            connection: None,
            said: String::new(),
        }))
    }

    fn connect(&self) -> Result<Connection, DeliveryError> {
        let password = match &self.password_file {
            Some(file) => Some(secret(file).map_err(DeliveryError::later)?),
            None => None,
        };
        let address = (self.server.host.as_str(), self.server.port);
        let mut connection = Connection::open(address, self.tls.as_ref(), self.timeout)
            .map_err(|error| DeliveryError::later(self.words(&error.into())))?;
        let mut greet = |command: &redis::Cmd| -> Result<Value, DeliveryError> {
            let answers = connection.ask(&command.get_packed_command(), 1);
            let answers = answers.map_err(|error| DeliveryError::later(self.words(&error)))?;
            Ok(answers.into_iter().next().unwrap_or(Value::Nil))
        };
        if let Some(password) = password {
            let mut auth = redis::cmd("AUTH");
            if !self.username.is_empty() {
                auth.arg(&self.username);
            }
            if let Value::ServerError(error) = greet(auth.arg(password))? {
                let why = format!("refuses the password: {}", error.code());
                return Err(DeliveryError::later(line(&why, 300)));
            }
        }
        if self.database != 0
            && let Value::ServerError(error) = greet(redis::cmd("SELECT").arg(self.database))?
        {
            let why = format!("{} {}", error.code(), error.details().unwrap_or_default());
            return Err(DeliveryError::later(line(&why, 300)));
        }
        // Who we are, for CLIENT LIST; a server before 7.2 does not know the command, and need not.
        for (name, value) in [
            ("LIB-NAME", "anomaly-detect"),
            ("LIB-VER", env!("CARGO_PKG_VERSION")),
        ] {
            greet(redis::cmd("CLIENT").arg("SETINFO").arg(name).arg(value))?;
        }
        Ok(connection)
    }

    fn words(&self, error: &RedisError) -> String {
        if error.is_timeout() {
            let limit = crate::time::words(self.timeout.as_secs_f64());
            return format!("no answer within {limit}");
        }
        let what = hinted(&error.to_string(), "redis.ca_file");
        match error.detail() {
            Some(detail) if !what.contains(detail) => line(&format!("{what}: {detail}"), 300),
            _ => line(&what, 300),
        }
    }

    /// How many entries were added, from the first, and what went wrong with the one after these.
    fn add(&mut self, entries: &[Vec<String>]) -> (usize, Result<(), DeliveryError>) {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match self.connect() {
                Ok(connection) => connection,
                Err(error) => return (0, Err(error)),
            },
        };
        let mut pipe = redis::pipe();
        for fields in entries {
            let add = pipe.cmd("XADD").arg(&self.key);
            add.arg("MAXLEN")
                .arg("~")
                .arg(self.max_length)
                .arg("*")
                .arg(fields);
        }
        let answers = match connection.ask(&pipe.get_packed_pipeline(), entries.len()) {
            Ok(answers) => answers,
            // How many arrived is not known: all of them go again, on another connection.
            Err(error) => return (0, Err(DeliveryError::later(self.words(&error)))),
        };
        let refused = |answer: &Value| matches!(answer, Value::ServerError(_));
        let added = answers.iter().position(refused).unwrap_or(answers.len());
        if let Some(Value::BulkString(id)) = answers[..added].last() {
            let id = String::from_utf8_lossy(id);
            self.said = line(&format!("entry {id} of {}", self.key), 200);
        }
        match answers.get(added) {
            // Out of memory, a replica, a key of another kind, no right to write: a person cures that.
            Some(Value::ServerError(error)) => {
                let why = format!("{} {}", error.code(), error.details().unwrap_or_default());
                (added, Err(DeliveryError::later(line(&why, 300))))
            }
            _ => {
                self.connection = Some(connection);
                (added, Ok(()))
            }
        }
    }
}

impl Deliver for Stream {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        let mut entries: Vec<Vec<String>> = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            match serde_json::from_slice::<Vec<String>>(parcel) {
                Ok(fields) if !fields.is_empty() && fields.len() % 2 == 0 => entries.push(fields),
                _ => break,
            }
        }
        if entries.is_empty() && !parcels.is_empty() {
            return (0, Err(DeliveryError::never("this is no entry")));
        }
        self.add(&entries)
    }

    fn finish(&mut self) {
        self.connection = None;
    }

    fn said(&self) -> String {
        self.said.clone()
    }
}
