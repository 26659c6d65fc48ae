//! Replay: capture files in, epochs out, as fast as they can be read.

use std::{fmt, path::PathBuf};

use super::{
    Accountant, Capture, CaptureError, Epoch, FragmentCounts, Progress, container::Damage, input,
    merge::Merge,
};

/// Bounds of a replay.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Flows counted in one epoch; packets of further ones go to the overflow counters.
    pub flows_per_epoch: usize,
    /// Whether flows are those inside of tunnels ([`sensor_ebpf::frame::tunnel`]) and not those on the wire.
    pub inside_tunnels: bool,
    /// Whether later fragments count in the flow of their first ([`super::Fragments`]), and not by address pair.
    pub follow_fragments: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flows_per_epoch: 4 << 20,
            inside_tunnels: false,
            follow_fragments: false,
        }
    }
}

/// What a replay has read so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Frames read.
    pub packets: u64,
    /// Captured bytes read, without the containers' headers.
    pub bytes: u64,
    /// Frames whose time lay before the epoch they were counted in: the capture was out of order.
    pub late_packets: u64,
    /// What became of later fragments, where they are followed.
    pub fragments: FragmentCounts,
    /// Files that ended early. What was read until there is counted.
    pub losses: Vec<Loss>,
}

/// A file that ended early: where, why, and what was used of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The file.
    pub path: PathBuf,
    /// Packets read before.
    pub packets: u64,
    /// The place and the reason.
    pub damage: Damage,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            packets,
            damage,
        } = self;
        write!(
            f,
            "{}: damaged {damage}; used up to there ({packets} packets), the rest is lost",
            path.display()
        )
    }
}

impl Report {
    /// Adds the captures that ended early.
    pub(super) fn add_losses(&mut self, merge: &Merge) {
        for input in merge.inputs() {
            if let Some(damage) = &input.damage {
                self.losses.push(Loss {
                    path: input.path.clone(),
                    packets: input.packets,
                    damage: damage.clone(),
                });
            }
        }
    }

    /// What a person should know about this replay, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.losses.iter().map(Loss::to_string).collect();
        if self.late_packets > 0 {
            lines.push(format!(
                "{} packets out of order were counted in the half second they stand in, not in their own; `reordercap` sorts a capture",
                self.late_packets
            ));
        }
        lines
    }
}

/// One or several captures, merged by time.
pub struct Replay {
    merge: Merge,
    accountant: Accountant,
    report: Report,
}

impl Replay {
    /// Opens all `inputs` (files, folders, `-`).
    ///
    /// # Errors
    /// The first input that is missing, unreadable or no capture. Damage behind the first packet is no error.
    pub fn open(inputs: &[PathBuf], settings: Settings) -> Result<Self, CaptureError> {
        Ok(Self {
            merge: Merge::open(input::expand(inputs)?)?,
            accountant: Accountant::new(settings.flows_per_epoch)
                .inside_tunnels(settings.inside_tunnels)
                .following_fragments(settings.follow_fragments),
            report: Report::default(),
        })
    }

    /// What has been read so far.
    pub fn report(&self) -> Report {
        let mut report = self.report.clone();
        report.late_packets = self.accountant.late_packets();
        report.add_losses(&self.merge);
        report
    }
}

impl Capture for Replay {
    fn next_epoch(&mut self, epoch: &mut Epoch) -> Result<Progress, CaptureError> {
        let accountant = &mut self.accountant;
        while let Some(turn) = self.merge.turn()? {
            let (mut packets, mut bytes, mut is_due) = (0, 0, false);
            let ran = turn.container.run(|record| {
                if record.time > turn.until {
                    return false;
                }
                is_due = accountant.is_due(record.time);
                if is_due {
                    return false;
                }
                packets += 1;
                bytes += record.frame.len() as u64;
                accountant.count_frame(record);
                true
            });
            *turn.packets += packets;
            self.report.packets += packets;
            self.report.bytes += bytes;
            ran.map_err(|source| CaptureError::Io {
                path: turn.path.display().to_string(),
                source,
            })?;
            if is_due {
                accountant.finish(epoch);
                self.report.fragments.add(&epoch.fragments);
                return Ok(Progress::Epoch);
            }
        }
        Ok(if self.accountant.finish(epoch) {
            self.report.fragments.add(&epoch.fragments);
            Progress::Epoch
        } else {
            Progress::End
        })
    }
}
