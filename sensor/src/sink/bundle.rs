//! What is kept of an alert, so that anybody can check it: `bundle.json`, beside it the packets.
//!
//! Numbers that are compared bit by bit are written as their bits, in hexadecimal, with the value beside them for people.

use serde_json::{Value, json};

use super::{csv::FLOW_COLUMNS, json};
use crate::{
    features::{COUNT, Row, TABLE},
    score::{Incident, Reason},
};

/// Version of the form.
const FORM: u64 = 1;

/// How much of the packets is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Packets of the flow in the file.
    pub flow: u64,
    /// Packets that the flow had when it was scored.
    pub flow_of: u64,
    /// Packets of the same host in the time of the incident.
    pub host: u64,
    /// Those that were left out, because of the bounds.
    pub left_out: u64,
}

impl Kept {
    /// Whether the flow can be made anew from its packets.
    pub const fn is_whole(&self) -> bool {
        self.flow == self.flow_of
    }
}

/// Whether a flow was called an anomaly, and the bits of the p-value up to which it was to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// Bits of the limit that was in force.
    pub limit: u64,
    /// What was said.
    pub anomalous: bool,
}

/// When flows end, in nanoseconds; `None` where that is switched off. What the record depends on besides the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Without a packet.
    pub idle: Option<u64>,
    /// At the longest.
    pub active: Option<u64>,
    /// After the close.
    pub linger: Option<u64>,
}

/// What a bundle says, as far as it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Name of the alert: [`Incident::id`].
    pub id: String,
    /// Digest of the model.
    pub model: String,
    /// Digest of the configuration.
    pub config: String,
    /// Id of the flow that was scored.
    pub flow: u64,
    /// What its packets are found by: [`crate::flow::FlowRecord::name`].
    pub flow_name: String,
    /// Side of its key that is the originator: where it goes on from an earlier record, earlier packets have decided that.
    pub originator: usize,
    /// Bits of its features.
    pub features: [u32; COUNT],
    /// Bits of its score.
    pub score: u32,
    /// Bits of its p-value.
    pub p_value: u64,
    /// What was said of it, and by which limit; nothing in bundles of versions that had none.
    pub prediction: Option<Prediction>,
    /// Why: features, with the bits of their weights.
    pub reasons: Vec<(String, u32)>,
    /// What the record depends on.
    pub timeouts: Timeouts,
    /// Packets.
    pub packets: Kept,
}

/// Why a file is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is not JSON, or another kind of it.
    #[error("not a bundle of this program: {0}")]
    Form(String),
    /// Of another version of the program.
    #[error("its features are not this program's ({0}); explain it with the version that wrote it")]
    Schema(String),
}

impl Bundle {
    /// What is kept of an incident.
    pub fn new(
        incident: &Incident,
        model: &str,
        config: &str,
        timeouts: Timeouts,
        packets: Kept,
    ) -> Self {
        let worst = &incident.worst;
        let weight = |reason: &Reason| (reason.feature().name.to_owned(), reason.weight.to_bits());
        Self {
            id: incident.id(),
            model: model.to_owned(),
            config: config.to_owned(),
            flow: worst.flow,
            flow_name: worst.evidence.0.name(),
            originator: worst.evidence.0.originator,
            features: worst.evidence.1,
            score: worst.score.to_bits(),
            p_value: worst.p_value.to_bits(),
            prediction: Some(Prediction {
                limit: worst.limit.to_bits(),
                anomalous: worst.anomalous,
            }),
            reasons: worst.reasons.iter().map(weight).collect(),
            timeouts,
            packets,
        }
    }

    /// The features as they were scored.
    pub fn row(&self) -> Row {
        self.features.map(f32::from_bits)
    }

    /// The file's content. `incident` is for people.
    pub fn to_json(&self, incident: &Incident) -> Value {
        let row = self.row();
        let features: Vec<Value> = TABLE
            .iter()
            .zip(self.features)
            .zip(row)
            .map(|((feature, bits), value)| {
                json!({
                    "name": feature.name,
                    "value": json::number(value),
                    "bits": format!("{bits:08x}"),
                })
            })
            .collect();
        let reasons: Vec<Value> = (self.reasons.iter())
            .map(
                |(feature, bits)| json!({"feature": feature, "weight_bits": format!("{bits:08x}")}),
            )
            .collect();
        let Value::Object(mut flow) = json::flow(&incident.worst.evidence.0, &row) else {
            return Value::Null;
        };
        flow.retain(|name, _| FLOW_COLUMNS.contains(&&**name));
        let Kept {
            flow: flow_packets,
            flow_of,
            host,
            left_out,
        } = self.packets;
        let Timeouts {
            idle,
            active,
            linger,
        } = self.timeouts;
        let prediction = self.prediction.map(|prediction| {
            json!({
                "verdict": json::prediction(prediction.anomalous),
                "limit": f64::from_bits(prediction.limit),
                "limit_bits": format!("{:016x}", prediction.limit),
            })
        });
        json!({
            "form": FORM,
            "alert": self.id,
            "model": self.model,
            "config": self.config,
            "incident": json::incident(incident),
            "flow": flow,
            "originator": self.originator,
            "score": {
                "value": json::number(f32::from_bits(self.score)),
                "bits": format!("{:08x}", self.score),
                "p_value": f64::from_bits(self.p_value),
                "p_value_bits": format!("{:016x}", self.p_value),
            },
            "prediction": prediction,
            "contributions": reasons,
            "features": features,
            "timeouts_ns": {"idle": idle, "active": active, "linger": linger},
            "packets": {
                "file": PACKETS,
                "flow": flow_packets,
                "flow_of": flow_of,
                "host": host,
                "left_out": left_out,
            },
        })
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// [`BundleError`]: anything that is missing or out of form.
    pub fn from_json(text: &str) -> Result<Self, BundleError> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| BundleError::Form(error.to_string()))?;
        let of = Fields(&value);
        if of.number("/form")? != FORM {
            return Err(BundleError::Form(
                "an unknown version of the form".to_owned(),
            ));
        }
        let mut features = [0; COUNT];
        let given = of.list("/features")?;
        if given.len() != COUNT {
            return Err(BundleError::Schema(format!(
                "{} instead of {COUNT}",
                given.len()
            )));
        }
        for ((bits, feature), given) in features.iter_mut().zip(TABLE.iter()).zip(given) {
            let given = Fields(given);
            let name = given.text("/name")?;
            if name != feature.name {
                return Err(BundleError::Schema(format!(
                    "`{name}` in the place of `{}`",
                    feature.name
                )));
            }
            *bits = given.bits("/bits")? as u32;
        }
        let reasons = of.list("/contributions")?;
        let reasons = reasons.iter().map(|given| {
            let given = Fields(given);
            Ok((
                given.text("/feature")?.to_owned(),
                given.bits("/weight_bits")? as u32,
            ))
        });
        let prediction = match value.get("prediction") {
            None | Some(Value::Null) => None,
            Some(_) => Some(Prediction {
                limit: of.bits("/prediction/limit_bits")?,
                anomalous: of.text("/prediction/verdict")? == json::prediction(true),
            }),
        };
        let timeout = |name: &str| value.pointer(name).and_then(Value::as_u64);
        Ok(Self {
            id: of.text("/alert")?.to_owned(),
            model: of.text("/model")?.to_owned(),
            config: of.text("/config")?.to_owned(),
            flow: of.bits("/flow/flow_id")?,
            flow_name: match of.text("/flow/community_id") {
                Ok(id) => id.to_owned(),
                Err(_) => format!(
                    "{}/{}/{}",
                    of.text("/flow/protocol")?,
                    of.text("/flow/src_ip")?,
                    of.text("/flow/dst_ip")?
                ),
            },
            originator: usize::from(of.number("/originator")? != 0),
            features,
            score: of.bits("/score/bits")? as u32,
            p_value: of.bits("/score/p_value_bits")?,
            prediction,
            reasons: reasons.collect::<Result<_, BundleError>>()?,
            timeouts: Timeouts {
                idle: timeout("/timeouts_ns/idle"),
                active: timeout("/timeouts_ns/active"),
                linger: timeout("/timeouts_ns/linger"),
            },
            packets: Kept {
                flow: of.number("/packets/flow")?,
                flow_of: of.number("/packets/flow_of")?,
                host: of.number("/packets/host")?,
                left_out: of.number("/packets/left_out")?,
            },
        })
    }
}

/// Name of the file with the packets.
pub const PACKETS: &str = "packets.pcapng";
/// Name of the file with everything else.
pub const FILE: &str = "bundle.json";

/// Values of a JSON object by their path.
struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn at<T>(
        &self,
        path: &str,
        as_what: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, BundleError> {
        let found = self.0.pointer(path).and_then(as_what);
        found.ok_or_else(|| {
            BundleError::Form(format!("`{}` is missing or of another kind", &path[1..]))
        })
    }

    fn number(&self, path: &str) -> Result<u64, BundleError> {
        self.at(path, Value::as_u64)
    }

    fn text(&self, path: &str) -> Result<&'a str, BundleError> {
        self.at(path, Value::as_str)
    }

    fn list(&self, path: &str) -> Result<&'a Vec<Value>, BundleError> {
        self.at(path, Value::as_array)
    }

    /// Hexadecimal digits.
    fn bits(&self, path: &str) -> Result<u64, BundleError> {
        self.at(path, |value| u64::from_str_radix(value.as_str()?, 16).ok())
    }
}

/// A line for whoever opens the packets: what the alert is.
pub fn comments(incident: &Incident, bundle: &Bundle) -> Vec<String> {
    let mut lines = vec![format!(
        "anomaly-detect alert {}: {} ({}): {}",
        bundle.id,
        incident.kind.name(),
        incident.severity().name(),
        incident.sentence()
    )];
    lines.push(flow_comment(incident));
    lines.push(format!(
        "model {}, configuration {}",
        &bundle.model[..bundle.model.len().min(16)],
        &bundle.config[..bundle.config.len().min(16)]
    ));
    lines
}

/// What stands at the first packet of the flow that was scored highest.
pub fn flow_comment(incident: &Incident) -> String {
    let worst = &incident.worst;
    let reasons: Vec<String> = worst.reasons.iter().map(Reason::to_string).collect();
    format!(
        "{}: score {}, p-value {:.2e}: {}",
        worst.evidence.0.name(),
        worst.score,
        worst.p_value,
        reasons.join("; ")
    )
}
