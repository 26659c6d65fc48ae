//! What one host did lately, in one role: counters over three sliding windows.

use sensor_ebpf::flow::{EPOCH_SHIFT, TimeNs};

use super::sketch::Sketch;
use crate::flow::{change, end_of};

/// A length of time over which a host is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// 10 s.
    TenSeconds,
    /// 60 s.
    Minute,
    /// 10 min, over which the service mix is kept, too.
    TenMinutes,
}

impl Window {
    /// All of them, shortest first.
    pub const ALL: [Self; 3] = [Self::TenSeconds, Self::Minute, Self::TenMinutes];

    /// Its length, nanoseconds.
    const fn length(self) -> TimeNs {
        match self {
            Self::TenSeconds => 10_000_000_000,
            Self::Minute => 60_000_000_000,
            Self::TenMinutes => 600_000_000_000,
        }
    }

    /// How names of features end that are about it.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::TenSeconds => "_10s",
            Self::Minute => "_60s",
            Self::TenMinutes => "_600s",
        }
    }
}

/// Which of the windows the service mix is kept over.
const MIX: usize = Window::TenMinutes as usize;

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
    /// Over each of [`Window::ALL`].
    pub windows: [WindowView; 3],
    /// Share of the host's flows in 10 min that go to the same class of service as the flow asked about.
    pub same_service_share: f32,
    /// Gini index of the service classes in 10 min: 0 for one class only, towards 0.875 for all alike.
    pub service_diversity: f32,
    /// Seconds since the host was first seen in this role.
    pub age: f32,
}

impl HostView {
    /// What was seen over one of them.
    #[inline(always)]
    pub const fn window(&self, window: Window) -> &WindowView {
        &self.windows[window as usize]
    }

    /// Of a host that nothing is known of: all values are missing.
    pub const UNKNOWN: Self = Self {
        windows: [WindowView {
            flows: f32::NAN,
            peers: f32::NAN,
            ports: f32::NAN,
            failed_share: f32::NAN,
            half_open_share: f32::NAN,
            bytes_sent: f32::NAN,
            bytes_received: f32::NAN,
        }; 3],
        same_service_share: f32::NAN,
        service_diversity: f32::NAN,
        age: f32::NAN,
    };
}

/// Where the end of an epoch stands in the windows: the same for every host, so computed once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// The moment itself.
    now: TimeNs,
    /// Number of the bucket that is filling, for each window.
    filling: [u64; 3],
    /// Part of the bucket before that is still in the window.
    weight: [f32; 3],
}

impl Clock {
    /// The end of `epoch`, whose packets count into the bucket of its beginning.
    pub(super) fn at_end_of(epoch: u64) -> Self {
        let (start, now) = (epoch << EPOCH_SHIFT, end_of(epoch));
        let filling = Window::ALL.map(|window| start / window.length());
        let weight = Window::ALL.map(|window| {
            let passed = now - filling[window as usize] * window.length();
            (1.0 - seconds(passed) / seconds(window.length())).max(0.0)
        });
        Self {
            now,
            filling,
            weight,
        }
    }
}

/// Counters of one bucket of one window.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    bytes_sent: u64,
    bytes_received: u64,
    flows: u32,
    answered: u32,
    rejected: u32,
    attempted: u32,
    established: u32,
}

/// Distinct peers and services.
#[derive(Clone, Copy, Debug, Default)]
struct Distinct {
    peers: Sketch,
    ports: Sketch,
}

/// One window: the bucket that is filling and the one before it.
#[derive(Clone, Debug, Default)]
struct Sliding {
    /// Number of the filling bucket.
    number: u64,
    counters: [Counters; 2],
    /// Of the filling bucket, and of both together.
    distinct: [Distinct; 2],
}

const FILLING: usize = 0;
const BEFORE: usize = 1;
const BOTH: usize = 1;

/// One host in one role.
#[derive(Clone, Debug)]
pub(super) struct Host {
    first: TimeNs,
    windows: [Sliding; 3],
    services: [[u32; CLASSES]; 2],
}

static NO_COUNTERS: Counters = Counters {
    bytes_sent: 0,
    bytes_received: 0,
    flows: 0,
    answered: 0,
    rejected: 0,
    attempted: 0,
    established: 0,
};

static NO_DISTINCT: Distinct = Distinct {
    peers: Sketch::EMPTY,
    ports: Sketch::EMPTY,
};

impl Host {
    pub(super) fn new(clock: &Clock) -> Self {
        let window = |number| Sliding {
            number,
            ..Sliding::default()
        };
        Self {
            first: clock.now,
            windows: clock.filling.map(window),
            services: [[0; CLASSES]; 2],
        }
    }

    /// Moves to the buckets of `clock`.
    #[inline]
    pub(super) fn roll(&mut self, clock: &Clock) {
        for (at, window) in self.windows.iter_mut().enumerate() {
            let passed = clock.filling[at].wrapping_sub(window.number);
            if passed == 0 {
                continue;
            }
            window.number = clock.filling[at];
            if passed == 1 {
                window.counters = [Counters::default(), window.counters[FILLING]];
                window.distinct = [Distinct::default(), window.distinct[FILLING]];
            } else {
                window.counters = Default::default();
                window.distinct = Default::default();
            }
            if at == MIX {
                let before = if passed == 1 {
                    self.services[FILLING]
                } else {
                    [0; CLASSES]
                };
                self.services = [[0; CLASSES], before];
            }
        }
    }

    /// Adds what one delta meant.
    #[inline]
    pub(super) fn add(&mut self, what: u8, sent: u64, received: u64, class: ServiceClass) {
        let bit = |bit: u8| u32::from(what & bit != 0);
        for window in &mut self.windows {
            let counters = &mut window.counters[FILLING];
            counters.bytes_sent += sent;
            counters.bytes_received += received;
            counters.flows += bit(change::BEGAN);
            counters.answered += bit(change::ANSWERED);
            counters.rejected += bit(change::REJECTED);
            counters.attempted += bit(change::ATTEMPTED);
            counters.established += bit(change::ESTABLISHED);
        }
        self.services[FILLING][class as usize] += bit(change::BEGAN);
    }

    /// Adds the peer and the service of a flow that began.
    #[inline]
    pub(super) fn meet(&mut self, peer: u64, port: u64) {
        for distinct in self
            .windows
            .iter_mut()
            .flat_map(|window| &mut window.distinct)
        {
            distinct.peers.add(peer);
            distinct.ports.add(port);
        }
    }

    /// What the host has done up to `clock`, from the standpoint of a flow of `class`.
    pub(super) fn view(&self, clock: &Clock, class: ServiceClass) -> HostView {
        let window = |at: usize| self.windows[at].view(clock.filling[at], clock.weight[at]);
        let windows = [window(0), window(1), window(2)];
        let (same_service_share, service_diversity) = self.mix(clock, class);
        let age = seconds(clock.now.saturating_sub(self.first));
        HostView {
            windows,
            same_service_share,
            service_diversity,
            age,
        }
    }

    fn mix(&self, clock: &Clock, class: ServiceClass) -> (f32, f32) {
        let weight = clock.weight[MIX];
        let (newer, older) = match clock.filling[MIX].wrapping_sub(self.windows[MIX].number) {
            0 => (1.0, weight),
            1 => (weight, 0.0),
            _ => (0.0, 0.0),
        };
        let [filling, before] = &self.services;
        let counts: [f32; CLASSES] = std::array::from_fn(|class| {
            filling[class] as f32 * newer + before[class] as f32 * older
        });
        let total: f32 = counts.iter().sum();
        if total <= 0.0 {
            return (f32::NAN, f32::NAN);
        }
        let squares: f32 = counts.iter().map(|count| count * count).sum();
        (
            counts[class as usize] / total,
            1.0 - squares / (total * total),
        )
    }
}

impl Sliding {
    /// The window when bucket `filling` is filling and `weight` of the one before still counts.
    #[inline(always)]
    fn view(&self, filling: u64, weight: f32) -> WindowView {
        let (new, old, fresh, both) = match filling.wrapping_sub(self.number) {
            0 => (
                &self.counters[FILLING],
                &self.counters[BEFORE],
                &self.distinct[FILLING],
                &self.distinct[BOTH],
            ),
            1 => (
                &NO_COUNTERS,
                &self.counters[FILLING],
                &NO_DISTINCT,
                &self.distinct[FILLING],
            ),
            _ => (&NO_COUNTERS, &NO_COUNTERS, &NO_DISTINCT, &NO_DISTINCT),
        };
        let slide = |new: u64, old: u64| new as f32 + old as f32 * weight;
        let count = |new: u32, old: u32| slide(u64::from(new), u64::from(old));
        // What only the older bucket knows fades with it.
        let distinct = |new: &Sketch, both: &Sketch| {
            let new = new.estimate();
            new + (both.estimate() - new).max(0.0) * weight
        };
        let flows = count(new.flows, old.flows);
        let attempted = count(new.attempted, old.attempted);
        let unanswered = (flows - count(new.answered, old.answered)).max(0.0);
        let open = (attempted - count(new.established, old.established)).max(0.0);
        let share = |part: f32, whole: f32| {
            if whole > 0.0 {
                (part / whole).min(1.0)
            } else {
                f32::NAN
            }
        };
        WindowView {
            flows,
            peers: distinct(&fresh.peers, &both.peers),
            ports: distinct(&fresh.ports, &both.ports),
            failed_share: share(unanswered + count(new.rejected, old.rejected), flows),
            half_open_share: share(open, attempted),
            bytes_sent: slide(new.bytes_sent, old.bytes_sent),
            bytes_received: slide(new.bytes_received, old.bytes_received),
        }
    }
}

#[inline]
pub(super) fn seconds(time: TimeNs) -> f32 {
    (time as f64 / 1e9) as f32
}
