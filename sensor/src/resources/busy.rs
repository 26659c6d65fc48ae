//! Who does it: processes by processor time and by memory.

use std::{collections::HashMap, fmt, fs, path::Path};

use super::Resource;

/// Processes looked at; a box with more is not asked who does it.
const PROCESSES_MAX: usize = 8192;
/// Processes told.
const TOLD: usize = 3;

/// A process, and its part.
#[derive(Clone, Debug, PartialEq)]
pub struct Busy {
    /// What it calls itself: whatever it likes.
    pub name: String,
    /// Its number.
    pub pid: u32,
    /// Its part of all processors, or of all memory.
    pub share: f64,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (process {}, {:.0} %)",
            self.name,
            self.pid,
            self.share * 100.0
        )
    }
}

/// All processes of one moment: name, clock ticks, pages.
#[derive(Clone, Debug, Default)]
pub(super) struct Processes(HashMap<u32, (String, u64, u64)>);

impl Processes {
    /// Looks at `/proc` below `root`.
    pub(super) fn read(root: &Path) -> Self {
        let mut all = HashMap::new();
        let Ok(entries) = fs::read_dir(root.join("proc")) else {
            return Self(all);
        };
        let numbers = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
            .take(PROCESSES_MAX);
        for pid in numbers {
            // It may be gone by now.
            let stat = fs::read(root.join(format!("proc/{pid}/stat"))).unwrap_or_default();
            if let Some(found) = of_stat(&String::from_utf8_lossy(&stat)) {
                all.insert(pid, found);
            }
        }
        Self(all)
    }

    /// Who did most since an earlier look: of processor time of all `ticks`, or of all `pages` of memory.
    pub(super) fn since(&self, before: &Self, resource: Resource, whole: u64) -> Vec<Busy> {
        let part = |pid: u32, (_, ticks, pages): &(String, u64, u64)| match resource {
            Resource::Cpu => before
                .0
                .get(&pid)
                .map_or(0, |(_, then, _)| ticks.saturating_sub(*then)),
            Resource::Memory => *pages,
            Resource::DiskRead | Resource::Network => 0,
        };
        let mut busy: Vec<Busy> = self
            .0
            .iter()
            .filter(|(pid, _)| **pid != std::process::id())
            .map(|(pid, process)| Busy {
                name: process.0.clone(),
                pid: *pid,
                share: part(*pid, process) as f64 / whole.max(1) as f64,
            })
            .filter(|busy| busy.share >= 0.02)
            .collect();
        busy.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.pid.cmp(&b.pid)));
        busy.truncate(TOLD);
        busy
    }
}

/// proc_pid_stat(5): name (field 2, in parentheses, of any characters), user and system time (14, 15), pages (24).
fn of_stat(stat: &str) -> Option<(String, u64, u64)> {
    let (start, rest) = stat.rsplit_once(") ")?;
    let (_, name) = start.split_once('(')?;
    let field = |at: usize| rest.split(' ').nth(at - 3)?.trim().parse::<u64>().ok();
    let name = name
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter });
    Some((
        name.collect(),
        field(14)?.checked_add(field(15)?)?,
        field(24)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_be_anything() {
        let stat = "7 (a) (b\n) R 1 7 7 0 -1 4194304 93 0 0 0 12 3 0 0 20 0 1 0 5 9 77 1\n";
        assert_eq!(of_stat(stat), Some(("a) (b ".to_owned(), 15, 77)));
        for stat in ["", "7", "7 (a) R", "7 a) R 1", ") "] {
            assert_eq!(of_stat(stat), None);
        }
    }
}
