//! The frames of captures, one by one, in order of time.

use std::path::PathBuf;

use super::{CaptureError, Record, Stop, input, merge::Merge, replay::Report};

/// Why going through frames ended early.
#[derive(Debug, thiserror::Error)]
pub enum FramesError {
    /// A capture cannot be opened or read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// What was to be done with a frame failed.
    #[error(transparent)]
    Output(#[from] std::io::Error),
}

/// Hands every frame of `inputs` (files, folders, `-`) to `each`.
///
/// # Errors
/// The first input that is missing, unreadable or no capture; what `each` says. Damage behind the first packet is in the report.
pub fn each(
    inputs: &[PathBuf],
    each: &mut dyn FnMut(&Record<'_>) -> std::io::Result<()>,
) -> Result<Report, FramesError> {
    until(inputs, (u64::MAX, &Stop::default()), each)
}

/// As [`each`], of so many frames at most: those that [`super::replay::Replay`] reads first, too.
///
/// # Errors
/// As [`each`].
pub fn first(
    inputs: &[PathBuf],
    most: u64,
    each: &mut dyn FnMut(&Record<'_>) -> std::io::Result<()>,
) -> Result<Report, FramesError> {
    until(inputs, (most, &Stop::default()), each)
}

/// Frames between two looks at whether the end was asked for.
const BETWEEN_LOOKS: u64 = 1024;

/// As [`first`], and until the end is asked for.
///
/// # Errors
/// As [`each`].
pub fn until(
    inputs: &[PathBuf],
    (most, stop): (u64, &Stop),
    each: &mut dyn FnMut(&Record<'_>) -> std::io::Result<()>,
) -> Result<Report, FramesError> {
    let mut merge = Merge::open(input::expand(inputs)?)?;
    let mut report = Report::default();
    while report.packets < most
        && !stop.is_asked()
        && let Some(turn) = merge.turn()?
    {
        let room = most - report.packets;
        let (mut packets, mut bytes, mut failed) = (0, 0, None);
        let ran = turn.container.run(|record| {
            if record.time > turn.until || packets == room || failed.is_some() {
                return false;
            }
            if packets % BETWEEN_LOOKS == BETWEEN_LOOKS - 1 && stop.is_asked() {
                return false;
            }
            packets += 1;
            bytes += record.frame.len() as u64;
            failed = each(record).err();
            true
        });
        *turn.packets += packets;
        report.packets += packets;
        report.bytes += bytes;
        if let Some(error) = failed {
            return Err(error.into());
        }
        ran.map_err(|source| CaptureError::Io {
            path: turn.path.display().to_string(),
            source,
        })?;
    }
    report.add_losses(&merge);
    Ok(report)
}
