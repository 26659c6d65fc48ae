//! The service manager's protocol: `sd_notify(3)`, datagrams of lines to the socket that `NOTIFY_SOCKET` names. Where no
//! manager asks for it, nothing is sent.

use std::{os::unix::net::UnixDatagram, sync::Arc, time::Duration};

/// A cheap handle; of all, one socket.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Notify(Option<Arc<Manager>>);

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    /// Longest time between two signs of life that the manager accepts.
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the manager wants it, by its environment variables.
    pub(super) fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok();
        // Of another process: a variable that a parent left behind (sd_watchdog_enabled(3)).
        let is_ours =
            variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = variable("WATCHDOG_USEC")
            .filter(|_| is_ours)
            .and_then(|micros| micros.parse().ok())
            .filter(|micros| *micros > 0)
            .map(Duration::from_micros);
        Self::to(variable("NOTIFY_SOCKET").as_deref(), watchdog)
    }

    fn to(address: Option<&str>, watchdog: Option<Duration>) -> Self {
        let manager = address.and_then(|address| {
            let socket = UnixDatagram::unbound().ok()?;
            connect(&socket, address).ok()?;
            // A manager that does not read must not hold up packets.
            socket.set_nonblocking(true).ok()?;
            Some(Arc::new(Manager { socket, watchdog }))
        });
        Self(manager)
    }

    /// How often to say [`Self::alive`], if at all: twice as often as asked for, as `sd_watchdog_enabled(3)` advises.
    pub(super) fn every(&self) -> Option<Duration> {
        Some(self.0.as_ref()?.watchdog? / 2)
    }

    /// Whether anybody listens.
    pub(super) fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// The service does what it is for; also after [`Self::reloading`].
    pub(in crate::cli) fn ready(&self) {
        self.send("READY=1");
    }

    /// A line about how it is, for people.
    pub(super) fn status(&self, line: &str) {
        self.send(&format!("STATUS={}", line.replace('\n', " ")));
    }

    /// A sign of life, for the watchdog.
    pub(super) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Asks for more patience than the unit says, or for as much again.
    pub(super) fn patience(&self, time: Option<Duration>) {
        let Some(usual) = self.0.as_ref().and_then(|manager| manager.watchdog) else {
            return;
        };
        let micros = time.map_or(usual, |time| time.max(usual)).as_micros();
        self.send(&format!("WATCHDOG_USEC={micros}"));
    }

    /// Something is being read anew, until [`Self::ready`].
    pub(in crate::cli) fn reloading(&self) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
    }

    /// The service was told to end.
    pub(super) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, lines: &str) {
        if let Some(manager) = &self.0 {
            // A manager that is gone, or has no room, has nothing to be told: the watchdog judges by what arrives.
            let _ = manager.socket.send(lines.as_bytes());
        }
    }
}

/// A path, or a name of the abstract space (`@name`).
fn connect(socket: &UnixDatagram, address: &str) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    if let Some(name) = address.strip_prefix('@') {
        use std::os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr};
        return socket.connect_addr(&SocketAddr::from_abstract_name(name)?);
    }
    socket.connect(address)
}

/// Time of the clock that the manager compares with.
fn monotonic_us() -> u128 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure lives until the call returns.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    debug_assert_eq!(result, 0);
    let since = Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
    since.as_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a time limit");
        let mut text = [0; 256];
        let length = socket.recv(&mut text).expect("something is said");
        String::from_utf8(text[..length].to_vec()).expect("UTF-8")
    }

    #[test]
    fn what_is_said_arrives() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        let minute = Duration::from_secs(60);
        let notify = Notify::to(path.to_str(), Some(minute));
        assert_eq!(notify.every(), Some(minute / 2));
        notify.ready();
        assert_eq!(heard(&manager), "READY=1");
        notify.status("two\nlines");
        assert_eq!(heard(&manager), "STATUS=two lines");
        notify.patience(Some(minute * 10));
        assert_eq!(heard(&manager), "WATCHDOG_USEC=600000000");
        notify.patience(None);
        assert_eq!(heard(&manager), "WATCHDOG_USEC=60000000");
        notify.reloading();
        let said = heard(&manager);
        let time = said
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .expect("both lines at once");
        assert!(time.parse::<u64>().expect("a number") > 0);
        notify.stopping();
        assert_eq!(heard(&manager), "STOPPING=1");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_name_is_one() {
        use std::os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr};
        let name = format!("anomaly-detect-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let manager = UnixDatagram::bind_addr(&address).expect("a socket");
        Notify::to(Some(&format!("@{name}")), None).alive();
        assert_eq!(heard(&manager), "WATCHDOG=1");
    }

    #[test]
    fn nobody_listens_and_nothing_happens() {
        for notify in [
            Notify::to(None, None),
            Notify::to(Some("/none/there"), None),
        ] {
            assert!(!notify.is_heard());
            notify.ready();
            notify.patience(None);
            assert_eq!(notify.every(), None);
        }
    }
}
