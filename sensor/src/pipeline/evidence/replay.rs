//! The way back: from a bundle to the verdict, bit by bit.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use model::{Model, OnlineQuantile};

use crate::{
    context::ContextView,
    features::{self, Family, TABLE},
    flow::{self, FlowRecord},
    pipeline::{Error, Settings, flows},
    score::{Judge, explain},
    sink::{
        bundle::{self, Bundle, BundleError, Prediction},
        json,
    },
};

/// Why a bundle does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file of it cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no bundle, or of another version.
    #[error("{}: {source}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: BundleError,
    },
    /// Another model.
    #[error("{}: scored by model {wanted}, and this is model {given}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// The bundle's.
        wanted: String,
        /// The one at hand.
        given: String,
    },
    /// Something came out otherwise.
    #[error("{}: {what} does not come out again: the bundle says {said}, recomputed {found}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What.
        what: String,
        /// In the bundle.
        said: String,
        /// Now.
        found: String,
    },
    /// The packets cannot be replayed.
    #[error(transparent)]
    Replay(#[from] Error),
}

/// What was recomputed from a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The bundle.
    pub bundle: Bundle,
    /// Features made anew from the packets and found equal; 0 where not all packets of the flow are in the bundle.
    pub features: usize,
}

/// Longest bundle that is read, in bytes; ours have about 30 kB.
const BUNDLE_MAX_BYTES: u64 = 4 << 20;

/// Reads what a bundle says.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read(folder: &Path) -> Result<Bundle, ReplayError> {
    let path = folder.join(bundle::FILE);
    let failed = |source| ReplayError::Io {
        path: path.clone(),
        source,
    };
    let mut text = String::new();
    let file = File::open(&path).map_err(failed)?;
    file.take(BUNDLE_MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Bundle::from_json(&text).map_err(|source| ReplayError::Bundle { path, source })
}

/// Recomputes the verdict from a bundle's features, and, where its packets are all there, the flow's own features from them.
///
/// # Errors
/// The first thing that differs.
pub fn replay(folder: &Path, model: &Model) -> Result<Replayed, ReplayError> {
    let bundle = read(folder)?;
    let path = folder.join(bundle::FILE);
    let differs = |what: &str, said: String, found: String| ReplayError::Mismatch {
        path: path.clone(),
        what: what.to_owned(),
        said,
        found,
    };
    if model.digest() != bundle.model {
        return Err(ReplayError::Model {
            path,
            wanted: bundle.model,
            given: model.digest(),
        });
    }
    let row = bundle.row();
    let score = Judge::default().score_row(model, &row);
    if score.to_bits() != bundle.score {
        let said = f32::from_bits(bundle.score);
        return Err(differs(
            "the score",
            format!("{said} ({:08x})", bundle.score),
            format!("{score} ({:08x})", score.to_bits()),
        ));
    }
    let p_value = model.p_value(score);
    if p_value.to_bits() != bundle.p_value {
        let said = f64::from_bits(bundle.p_value);
        return Err(differs(
            "the p-value",
            said.to_string(),
            p_value.to_string(),
        ));
    }
    if let Some(said) = bundle.prediction {
        check_prediction(said, p_value, score, model)
            .map_err(|(what, said, found)| differs(what, said, found))?;
    }
    let reasons = explain(model, &row).into_iter();
    let reasons: Vec<(String, u32)> = reasons
        .map(|reason| (reason.feature().name.to_owned(), reason.weight.to_bits()))
        .collect();
    if reasons != bundle.reasons {
        let words = |reasons: &[(String, u32)]| {
            let one = |(name, bits): &(String, u32)| format!("{name} {}", f32::from_bits(*bits));
            reasons.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        return Err(differs(
            "the explanation",
            words(&bundle.reasons),
            words(&reasons),
        ));
    }
    let features = if bundle.packets.is_whole() {
        from_packets(folder, &bundle)?
    } else {
        0
    };
    Ok(Replayed { bundle, features })
}

/// Whether what was said follows from the p-value and from the limit that was in force, and whether that limit is one that control
/// may have set: the flows before it, which moved it, are not in the bundle.
fn check_prediction(
    said: Prediction,
    p_value: f64,
    score: f32,
    model: &Model,
) -> Result<(), (&'static str, String, String)> {
    let limit = f64::from_bits(said.limit);
    let promised = model.info().settings.contamination;
    let least = OnlineQuantile::RAREST.min(promised);
    if !(least..=promised).contains(&limit) {
        let bounds = format!("between {least:e} and {promised:e}");
        return Err(("the limit of p-values", limit.to_string(), bounds));
    }
    let anomalous = score >= model.threshold() && p_value <= limit;
    if anomalous != said.anomalous {
        let [said, found] = [said.anomalous, anomalous].map(json::prediction);
        return Err(("the prediction", said.to_owned(), found.to_owned()));
    }
    Ok(())
}

/// Whether a feature is told by the flow's own packets alone.
const fn is_own(family: Family) -> bool {
    !matches!(
        family,
        Family::Source | Family::Destination | Family::Conversation | Family::Log
    )
}

/// Makes the flow anew from its packets and compares the features that they alone decide.
fn from_packets(folder: &Path, bundle: &Bundle) -> Result<usize, ReplayError> {
    let path = folder.join(bundle::PACKETS);
    let time = |time: Option<u64>| time.map(Duration::from_nanos);
    let settings = Settings {
        flow: flow::Settings {
            idle_timeout: time(bundle.timeouts.idle),
            active_timeout: time(bundle.timeouts.active),
            close_linger: time(bundle.timeouts.linger),
            ..flow::Settings::default()
        },
        ..Settings::default()
    };
    // The record grows by checkpoints; the one that was scored has all the packets of the bundle.
    let mut best: Option<features::Row> = None;
    // On the wire, or inside of tunnels, with its later fragments or without: a flow is one or the other.
    for (inside_tunnels, follow_fragments) in
        [(false, false), (true, false), (false, true), (true, true)]
    {
        let settings = Settings {
            inside_tunnels,
            follow_fragments,
            ..settings.clone()
        };
        if best.is_some() {
            break;
        }
        flows(
            std::slice::from_ref(&path),
            &settings,
            &mut |_| (),
            &mut |batch| {
                for (record, _) in batch.iter() {
                    let is_it = record.id == bundle.flow
                        && record.counters.packets() == bundle.packets.flow;
                    if is_it {
                        let record = FlowRecord {
                            originator: bundle.originator,
                            ..record.clone()
                        };
                        best = Some(features::extract(&record, &ContextView::UNKNOWN));
                    }
                }
                Ok(())
            },
        )?;
    }
    let Some(row) = best else {
        return Err(ReplayError::Mismatch {
            path,
            what: "the flow".to_owned(),
            said: format!("{:016x} with {} packets", bundle.flow, bundle.packets.flow),
            found: "no such flow in the packets".to_owned(),
        });
    };
    let mut equal = 0;
    for ((feature, said), found) in TABLE.iter().zip(bundle.features).zip(row) {
        if !is_own(feature.family) {
            continue;
        }
        if said != found.to_bits() {
            return Err(ReplayError::Mismatch {
                path,
                what: format!("the feature {}", feature.name),
                said: f32::from_bits(said).to_string(),
                found: found.to_string(),
            });
        }
        equal += 1;
    }
    Ok(equal)
}
