//! What one host did lately, in one role: counters over three sliding windows.

use sensor_ebpf::flow::TimeNs;

use super::sketch::Sketch;
use crate::flow::change;

/// Lengths of the windows, nanoseconds.
const WINDOWS: [TimeNs; 3] = [10_000_000_000, 60_000_000_000, 600_000_000_000];
/// Names of the windows, as in feature names.
pub const WINDOW_NAMES: [&str; 3] = ["10s", "60s", "600s"];
/// The window over which the service mix is kept.
const MIX: usize = 2;

/// What kind of service a flow asks for: coarse, so that a mix fits into a host.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceClass {
    /// HTTP, HTTPS, QUIC, proxies.
    Web,
    /// DNS, mDNS, LLMNR, NetBIOS names.
    Name,
    /// Interactive and remote control: SSH, telnet, RDP, VNC, WinRM.
    Remote,
    /// SMB, NFS, FTP, and the mail protocols: moving files and messages.
    Transfer,
    /// Kerberos, LDAP, RPC, RADIUS and databases: the inside of an organisation.
    Inside,
    /// NTP, SNMP, syslog, DHCP, SSDP, ICMP: running the network.
    Operation,
    /// Other ports below 1024.
    System,
    /// Everything else.
    Other,
}

const CLASSES: usize = 8;

impl ServiceClass {
    /// The class of a protocol and responder port.
    #[inline]
    pub const fn of(protocol: u8, port: u16) -> Self {
        if matches!(protocol, 1 | 2 | 58) {
            return Self::Operation;
        }
        match port {
            80 | 443 | 3128 | 8000 | 8008 | 8080 | 8081 | 8443 | 8888 => Self::Web,
            53 | 137 | 853 | 5353 | 5355 => Self::Name,
            22 | 23 | 2222 | 2323 | 3389 | 5900..=5903 | 5985 | 5986 => Self::Remote,
            20 | 21 | 25 | 69 | 110 | 139 | 143 | 445 | 465 | 587 | 873 | 989 | 990 | 993 | 995
            | 2049 => Self::Transfer,
            88 | 135 | 389 | 464 | 636 | 1433 | 1521 | 1812 | 1813 | 3268 | 3269 | 3306 | 5432
            | 6379 | 27017 => Self::Inside,
            67 | 68 | 123 | 161 | 162 | 514 | 546 | 547 | 1900 | 3702 => Self::Operation,
            1..=1023 => Self::System,
            _ => Self::Other,
        }
    }
}

/// One length of window, now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WindowView {
    /// Flows begun.
    pub flows: f32,
    /// Distinct addresses on the other side.
    pub peers: f32,
    /// Distinct services (protocol and responder port).
    pub ports: f32,
    /// Share of the flows that got no answer or a rejection, 0 to 1; NaN without flows.
    pub failed_share: f32,
    /// Share of the TCP attempts whose handshake was never completed, 0 to 1; NaN without attempts.
    pub half_open_share: f32,
    /// IP bytes sent by this host.
    pub bytes_sent: f32,
    /// IP bytes sent to this host.
    pub bytes_received: f32,
}

/// One host in one role, now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostView {
    /// Over 10 s, 60 s and 10 min.
    pub windows: [WindowView; 3],
    /// Share of the host's flows in 10 min that go to the same class of service as the flow asked about.
    pub same_service_share: f32,
    /// Gini index of the service classes in 10 min: 0 for one class only, towards 0.875 for all alike.
    pub service_diversity: f32,
    /// Seconds since the host was first seen in this role.
    pub age: f32,
}

/// Counters of one bucket of one window.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    bytes_sent: u64,
    bytes_received: u64,
    flows: u32,
    answered: u32,
    rejected: u32,
    attempted: u32,
    established: u32,
    peers: Sketch,
    ports: Sketch,
}

/// One host in one role. Each window has the bucket that is filling and the one before it.
#[derive(Clone, Debug)]
pub(super) struct Host {
    first: TimeNs,
    /// Start of the filling bucket of each window.
    start: [TimeNs; 3],
    services: [[u32; CLASSES]; 2],
    buckets: [[Bucket; 2]; 3],
}

const FILLING: usize = 0;
const BEFORE: usize = 1;

impl Host {
    pub(super) fn new(now: TimeNs) -> Self {
        Self {
            first: now,
            start: WINDOWS.map(|length| now - now % length),
            services: [[0; CLASSES]; 2],
            buckets: [[Bucket::default(); 2]; 3],
        }
    }

    /// Moves to the buckets that `now` falls into.
    #[inline]
    pub(super) fn roll(&mut self, now: TimeNs) {
        for (window, length) in WINDOWS.into_iter().enumerate() {
            let passed = now.saturating_sub(self.start[window]);
            if passed < length {
                continue;
            }
            let [filling, before] = &mut self.buckets[window];
            *before = if passed < 2 * length {
                *filling
            } else {
                Bucket::default()
            };
            *filling = Bucket::default();
            self.start[window] = now - now % length;
            if window == MIX {
                self.services[BEFORE] = if passed < 2 * length {
                    self.services[FILLING]
                } else {
                    [0; CLASSES]
                };
                self.services[FILLING] = [0; CLASSES];
            }
        }
    }

    /// Adds what one delta meant.
    #[inline]
    pub(super) fn add(&mut self, what: u8, sent: u64, received: u64, class: ServiceClass) {
        let bit = |bit: u8| u32::from(what & bit != 0);
        for [bucket, _] in &mut self.buckets {
            bucket.bytes_sent += sent;
            bucket.bytes_received += received;
            bucket.flows += bit(change::BEGAN);
            bucket.answered += bit(change::ANSWERED);
            bucket.rejected += bit(change::REJECTED);
            bucket.attempted += bit(change::ATTEMPTED);
            bucket.established += bit(change::ESTABLISHED);
        }
        self.services[FILLING][class as usize] += bit(change::BEGAN);
    }

    /// Adds the peer and the service of a flow that began.
    #[inline]
    pub(super) fn meet(&mut self, peer: u64, port: u64) {
        for [bucket, _] in &mut self.buckets {
            bucket.peers.add(peer);
            bucket.ports.add(port);
        }
    }

    /// What the host has done up to `now`, from the standpoint of a flow of `class`.
    pub(super) fn view(&self, now: TimeNs, class: ServiceClass) -> HostView {
        let mut windows = [WindowView::default(); 3];
        for (window, view) in windows.iter_mut().enumerate() {
            *view = self.window(window, now);
        }
        let (same_service_share, service_diversity) = self.mix(now, class);
        HostView {
            windows,
            same_service_share,
            service_diversity,
            age: seconds(now.saturating_sub(self.first)),
        }
    }

    /// The two buckets as they count at `now`, and the weight of the older: the part of it still in the window.
    #[inline]
    fn phase(&self, window: usize, now: TimeNs) -> (Option<usize>, Option<usize>, f32) {
        let length = WINDOWS[window];
        // `now` is an end: the moment at which a bucket is just complete still belongs to it.
        let passed = now.saturating_sub(self.start[window]).saturating_sub(1);
        let weight = 1.0 - seconds(passed % length) / seconds(length);
        match passed / length {
            0 => (Some(FILLING), Some(BEFORE), weight),
            1 => (None, Some(FILLING), weight),
            _ => (None, None, 0.0),
        }
    }

    fn window(&self, window: usize, now: TimeNs) -> WindowView {
        let (newer, older, weight) = self.phase(window, now);
        let empty = Bucket::default();
        let newer = newer.map_or(&empty, |at| &self.buckets[window][at]);
        let older = older.map_or(&empty, |at| &self.buckets[window][at]);
        let slide = |new: u64, old: u64| new as f32 + old as f32 * weight;
        let count = |of: fn(&Bucket) -> u32| slide(u64::from(of(newer)), u64::from(of(older)));
        // What only the older bucket knows fades with it.
        let distinct = |of: fn(&Bucket) -> &Sketch| {
            let new = of(newer).estimate();
            let both = of(newer).union(of(older)).estimate();
            new + (both - new).max(0.0) * weight
        };
        let flows = count(|bucket| bucket.flows);
        let attempted = count(|bucket| bucket.attempted);
        let unanswered = (flows - count(|bucket| bucket.answered)).max(0.0);
        let open = (attempted - count(|bucket| bucket.established)).max(0.0);
        let share = |part: f32, whole: f32| {
            if whole > 0.0 {
                (part / whole).min(1.0)
            } else {
                f32::NAN
            }
        };
        WindowView {
            flows,
            peers: distinct(|bucket| &bucket.peers),
            ports: distinct(|bucket| &bucket.ports),
            failed_share: share(unanswered + count(|bucket| bucket.rejected), flows),
            half_open_share: share(open, attempted),
            bytes_sent: slide(newer.bytes_sent, older.bytes_sent),
            bytes_received: slide(newer.bytes_received, older.bytes_received),
        }
    }

    fn mix(&self, now: TimeNs, class: ServiceClass) -> (f32, f32) {
        let (newer, older, weight) = self.phase(MIX, now);
        let of =
            |at: Option<usize>, class: usize| at.map_or(0, |at| self.services[at][class]) as f32;
        let counts: [f32; CLASSES] =
            std::array::from_fn(|class| of(newer, class) + of(older, class) * weight);
        let total: f32 = counts.iter().sum();
        if total <= 0.0 {
            return (f32::NAN, f32::NAN);
        }
        let concentration: f32 = counts
            .iter()
            .map(|count| (count / total) * (count / total))
            .sum();
        (counts[class as usize] / total, 1.0 - concentration)
    }
}

#[inline]
pub(super) fn seconds(time: TimeNs) -> f32 {
    (time as f64 / 1e9) as f32
}
