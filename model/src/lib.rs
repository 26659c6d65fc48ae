//! Pure learning: an isolation forest over a declared schema, an autoencoder beside it where one is wanted, their
//! calibration, explanation and artifact.
//!
//! Nothing here knows a network, a file format of captures, a clock or an operating system (the two
//! convenience calls that read and write an artifact's file excepted). Training is deterministic from a
//! seed, whatever the number of threads; scoring allocates nothing and gives the same bits on every path.
//!
//! ```
//! use model::{Column, Model, Rows, Schema, Settings, Transform};
//!
//! let schema = Schema::new(vec![
//!     Column::new("bytes", "byte", Transform::SignedLog),
//!     Column::new("share", "1", Transform::Linear),
//! ]);
//! let mut rows = Rows::with_columns(2);
//! for i in 0..1000 {
//!     rows.push(&[(i % 97) as f32 * 10.0, (i % 13) as f32 / 13.0]);
//! }
//! let model = Model::train(&rows, &schema, &Settings::default())?;
//! let mut scores = [0.0; 2];
//! model.scorer().score(&[500.0, 0.5, 1e9, 0.5], &mut scores);
//! assert!(scores[1] > scores[0]);
//! # Ok::<(), model::TrainError>(())
//! ```

mod artifact;
mod autoencoder;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod axis;
mod baseline;
mod bins;
mod body;
mod boost;
mod calibrate;
mod control;
mod ensemble;
mod exemplars;
mod explain;
mod forest;
mod groups;
mod grow;
mod maths;
mod merge;
#[cfg(target_arch = "x86_64")]
mod mux;
mod names;
mod online_quantile;
mod parallel;
#[cfg(test)]
mod peer;
mod publish;
mod quantise;
mod rng;
mod rows;
mod sample;
mod schema;
mod score;
mod search;
mod settings;
mod train;
mod usual;
mod walk;

pub use artifact::{LoadError, SaveError};
pub use bins::{BINS, Bins};
pub use boost::{BoostError, BoostInfo, BoostSettings, Classifier, Labelled, Sureness};
pub use calibrate::CalibrationSource;
pub use control::{Allowance, Control, ControlSettings};
pub use ensemble::AutoencoderInfo;
pub use explain::{Contribution, Explanation};
pub use forest::{NodeView, TreeView};
pub use merge::MergeError;
pub use online_quantile::OnlineQuantile;
pub use publish::{Pin, Published};
pub use rows::Rows;
pub use schema::{Column, Schema, SchemaMismatch, Transform};
pub use score::{Path, Scorer, Scratch};
pub use settings::{Settings, Shape};
pub use train::{Info, Model, TrainError};
