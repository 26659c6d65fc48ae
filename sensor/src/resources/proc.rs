//! What Linux counts, and what comes of two looks at it.

use std::{collections::BTreeSet, fs, path::Path};

use super::Resource;

/// Counters of one moment. What cannot be read is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Clock ticks of all processors: all, busy, and of this process.
    ticks: Option<[u64; 3]>,
    /// Share of the memory that is not available.
    memory: Option<f64>,
    /// Bytes read from disks since the start.
    disk_read: Option<u64>,
    /// Bytes received and sent since the start.
    network: Option<u64>,
}

/// Values of one second, in the order of [`Resource::ALL`]; `None` for what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample(pub [Option<f64>; Resource::ALL.len()]);

impl Sample {
    /// Of one resource.
    pub const fn of(&self, resource: Resource) -> Option<f64> {
        self.0[resource as usize]
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// Reads the counters below `root`, which is `/` but in tests. What is not there is not known.
pub fn read(root: &Path) -> Counters {
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let physical = |name: &str| {
        root.join("sys/class/net")
            .join(name)
            .join("device")
            .exists()
    };
    Counters {
        ticks: ticks(&text("proc/stat"), &text("proc/self/stat")),
        memory: memory(&text("proc/meminfo")),
        disk_read: disk_read(&text("proc/diskstats")),
        network: network(&text("proc/net/dev"), physical),
    }
}

impl Counters {
    /// What happened since an earlier look, `seconds` ago. A counter that went back (a device that left) tells nothing.
    pub fn since(&self, before: &Self, seconds: f64) -> Sample {
        let cpu = || {
            let [[all, busy, own], [all0, busy0, own0]] = [self.ticks?, before.ticks?];
            let all = all.checked_sub(all0).filter(|ticks| *ticks > 0)? as f64;
            let others = busy.checked_sub(busy0)? as f64 - own.checked_sub(own0)? as f64;
            Some((others / all).clamp(0.0, 1.0))
        };
        let rate = |now: Option<u64>, before: Option<u64>| {
            Some(now?.checked_sub(before?)? as f64 / seconds).filter(|rate| rate.is_finite())
        };
        Sample([
            cpu(),
            self.memory,
            rate(self.disk_read, before.disk_read),
            rate(self.network, before.network),
        ])
    }
}

impl Counters {
    /// Clock ticks of all processors since an earlier look.
    pub(super) fn ticks_since(&self, before: &Self) -> u64 {
        let [now, then] = [self.ticks, before.ticks].map(|ticks| ticks.map_or(0, |ticks| ticks[0]));
        now.saturating_sub(then)
    }
}

/// proc(5), `/proc/stat`: user nice system idle iowait irq softirq steal guest guest_nice. Guests are in user already;
/// waiting for a disk is idle, and stolen time is another machine's.
fn ticks(stat: &str, own: &str) -> Option<[u64; 3]> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    let all = fields
        .iter()
        .try_fold(0_u64, |sum, ticks| sum.checked_add(*ticks))?;
    let field = |at: usize| fields.get(at).copied().unwrap_or(0);
    let busy = all - field(3) - field(4) - field(7);
    // The name, in parentheses, may hold anything; user and system time are fields 14 and 15, the first behind it is 3.
    let own: u64 = own.rsplit_once(") ").map_or(0, |(_, rest)| {
        let of_process = rest.split(' ').skip(11).take(2);
        of_process
            .filter_map(|field| field.parse::<u64>().ok())
            .fold(0, u64::saturating_add)
    });
    Some([all, busy, own])
}

/// Share of the memory that is not available (`MemAvailable`: what programs can have without swapping).
fn memory(meminfo: &str) -> Option<f64> {
    let of = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().split(' ').next()?.parse::<f64>().ok()
    };
    let (total, available) = (of("MemTotal:")?, of("MemAvailable:")?);
    (total > 0.0).then(|| (1.0 - available / total).clamp(0.0, 1.0))
}

/// Bytes read from disks: sectors of 512 bytes, whatever the device has (Linux, Documentation/admin-guide/iostats).
/// Partitions, and devices made of others, would count twice.
fn disk_read(diskstats: &str) -> Option<u64> {
    let rows: Vec<(&str, u64)> = diskstats
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(2);
            let name = fields.next()?;
            Some((name, fields.nth(2)?.parse().ok()?))
        })
        .collect();
    let names: BTreeSet<&str> = rows.iter().map(|(name, _)| *name).collect();
    let is_part = |name: &str| {
        let disk = name.trim_end_matches(|digit: char| digit.is_ascii_digit());
        let disk_p = disk.strip_suffix('p').unwrap_or(disk);
        disk.len() < name.len()
            && [disk, disk_p]
                .iter()
                .any(|disk| *disk != name && names.contains(disk))
    };
    let made = ["loop", "ram", "zram", "dm-", "md", "sr", "fd"];
    let counted = rows
        .iter()
        .filter(|(name, _)| !made.iter().any(|start| name.starts_with(start)) && !is_part(name));
    let sectors = counted.map(|(_, sectors)| *sectors);
    (!rows.is_empty()).then(|| sectors.fold(0, u64::saturating_add).saturating_mul(512))
}

/// Bytes received and sent by physical interfaces, or by all but the loopback where none is (a container).
fn network(dev: &str, is_physical: impl Fn(&str) -> bool) -> Option<u64> {
    let rows: Vec<(&str, u64)> = dev
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(':')?;
            let mut fields = rest.split_whitespace();
            let received: u64 = fields.next()?.parse().ok()?;
            let sent: u64 = fields.nth(7)?.parse().ok()?;
            Some((name.trim(), received.saturating_add(sent)))
        })
        .filter(|(name, _)| *name != "lo")
        .collect();
    let any_physical = rows.iter().any(|(name, _)| is_physical(name));
    let counted = rows
        .iter()
        .filter(|(name, _)| !any_physical || is_physical(name));
    let bytes = counted.map(|(_, bytes)| *bytes);
    (!rows.is_empty()).then(|| bytes.fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_a_second() {
        let stat = |user: u64, idle: u64| {
            format!("cpu  {user} 0 100 {idle} 50 0 0 30 7 0\ncpu0 1 2 3 4\n")
        };
        let own = "42 (a ) b) S 1 1 1 0 -1 4194560 1 0 0 0 20 10 0 0 20 0 9 0\n";
        let before = Counters {
            ticks: ticks(&stat(1000, 5000), own),
            disk_read: Some(1_000_000),
            network: Some(10),
            memory: None,
        };
        assert_eq!(before.ticks, Some([6180, 1100, 30]));
        let after = Counters {
            ticks: ticks(&stat(1060, 5140), &own.replace("20 10", "24 11")),
            disk_read: Some(3_000_000),
            network: Some(5),
            memory: memory("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   250 kB\n"),
        };
        let sample = after.since(&before, 2.0);
        // 60 of 200 ticks were busy, 5 of these our own.
        assert_eq!(sample.of(Resource::Cpu), Some(0.275));
        assert_eq!(sample.of(Resource::Memory), Some(0.75));
        assert_eq!(sample.of(Resource::DiskRead), Some(1e6));
        assert_eq!(sample.of(Resource::Network), None, "it went back");
    }

    #[test]
    fn nothing_counts_twice() {
        let disks = "   8       0 sda 10 0 100 5 0\n   8       1 sda1 9 0 90 5 0\n 259       0 nvme0n1 1 0 7 0\n\
                      259       1 nvme0n1p1 1 0 7 0\n 253       0 dm-0 1 0 90 0\n   7       0 loop0 1 0 5 0\n 179 0 mmcblk0 1 0 3 0\n";
        assert_eq!(disk_read(disks), Some((100 + 7 + 3) * 512));
        assert_eq!(disk_read(""), None);
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 1 0 0 0 0 0 0 20 1 0\n\
                   veth1:7 1 0 0 0 0 0 0 2 1 0\n";
        assert_eq!(network(dev, |name| name == "eth0"), Some(120));
        assert_eq!(network(dev, |_| false), Some(129));
    }

    #[test]
    fn nonsense_is_not_known() {
        for text in [
            "",
            "cpu",
            "cpu  x",
            "cpu  1 2",
            "MemTotal: 0 kB\nMemAvailable: 0 kB",
            "a b c d e f",
            "x: y",
        ] {
            assert!(ticks(text, text).is_none() || text == "cpu  1 2", "{text}");
            assert_eq!(memory(text), None);
            let _ = (disk_read(text), network(text, |_| true));
        }
        assert!(
            read(Path::new("/nowhere"))
                .since(&Counters::default(), 1.0)
                .is_empty()
        );
    }
}
