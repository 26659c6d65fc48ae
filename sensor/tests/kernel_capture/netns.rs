//! Network namespaces of a test's own, with veth pairs between them. All that is made here goes when the values
//! are dropped, also when a test fails.

use std::{
    fs::{self, File},
    io,
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

/// Privileged tests run one at a time, whichever test programs they are in.
pub(crate) struct Serial(#[expect(dead_code, reason = "holds the lock until dropped")] File);

impl Serial {
    pub(crate) fn take() -> Self {
        let file = File::create(std::env::temp_dir().join("anomaly-detect-kernel-tests.lock"))
            .expect("lock file");
        file.lock().expect("lock");
        Self(file)
    }
}

/// Runs a program and panics with its words if it fails.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A network namespace.
pub(crate) struct Namespace {
    pub(crate) name: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Namespace {
    pub(crate) fn new() -> Self {
        let name = format!(
            "anomaly-{}-{}",
            process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        run("ip", &["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"]);
        // Router solicitations and the like would be packets nobody has sent.
        namespace.exec(&[
            "sysctl",
            "-qw",
            "net.ipv6.conf.default.accept_dad=0",
            "net.ipv6.conf.all.router_solicitations=0",
        ]);
        namespace
    }

    /// Runs `ip` inside.
    pub(crate) fn ip(&self, arguments: &[&str]) -> String {
        run("ip", &[&["-n", &self.name], arguments].concat())
    }

    /// Runs a program inside.
    pub(crate) fn exec(&self, arguments: &[&str]) -> String {
        run("ip", &[&["netns", "exec", &self.name], arguments].concat())
    }

    /// Runs `body` on a thread that is inside.
    pub(crate) fn within<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter().expect("enter the namespace");
                    body()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Brings the calling thread inside.
    pub(crate) fn enter(&self) -> io::Result<()> {
        use std::os::fd::AsRawFd as _;
        let file = File::open(format!("/run/netns/{}", self.name))?;
        // SAFETY: a namespace file; only the calling thread moves.
        if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Index of an interface inside.
    pub(crate) fn index(&self, interface: &str) -> u32 {
        self.exec(&["cat", &format!("/sys/class/net/{interface}/ifindex")])
            .trim()
            .parse()
            .expect("an index")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
        let _ = fs::remove_file(format!("/run/netns/{}", self.name));
    }
}

/// Two namespaces joined by a veth pair: `a` has 10.77.0.1 and fd77::1 on `veth-a`, `b` has 10.77.0.2 and fd77::2 on
/// `veth-b`.
pub(crate) struct Pair {
    pub(crate) a: Namespace,
    pub(crate) b: Namespace,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let (a, b) = (Namespace::new(), Namespace::new());
        a.ip(&[
            "link",
            "add",
            "veth-a",
            "numrxqueues",
            "2",
            "numtxqueues",
            "2",
            "type",
            "veth",
            "peer",
            "name",
            "veth-b",
            "numrxqueues",
            "2",
            "numtxqueues",
            "2",
            "netns",
            &b.name,
        ]);
        for (namespace, interface, host) in [(&a, "veth-a", "1"), (&b, "veth-b", "2")] {
            namespace.ip(&[
                "address",
                "add",
                &format!("10.77.0.{host}/24"),
                "dev",
                interface,
            ]);
            namespace.ip(&[
                "address",
                "add",
                &format!("fd77::{host}/64"),
                "dev",
                interface,
                "nodad",
            ]);
            namespace.ip(&["link", "set", interface, "up"]);
        }
        Self { a, b }
    }
}

/// Waits. (Parking would end at once where a scoped thread has ended before, which unparks.)
pub(crate) fn pause(time: std::time::Duration) {
    sensor::capture::Stop::default().wait(time);
}

/// Offloads that make super-packets (`linux/ethtool.h`), which a recording holds as they are and the wire does not.
#[derive(Clone, Copy)]
pub(crate) enum Offload {
    /// TCP hands packets of up to 64 KB to the interface.
    Tso = 0x1f,
    /// The stack does, and cuts them before the interface.
    Gso = 0x24,
    /// The stack puts arriving packets together.
    Gro = 0x2c,
}

impl Namespace {
    /// Switches an offload of an interface on or off.
    pub(crate) fn offload(&self, interface: &str, which: Offload, on: bool) {
        const SIOCETHTOOL: libc::Ioctl = 0x8946;
        self.within(|| {
            let mut value = [which as u32, u32::from(on)];
            // SAFETY: all zeroes is a valid request.
            let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
            for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
                *to = from as libc::c_char;
            }
            request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket to ask through");
            // SAFETY: request and value are valid and live until the call returns.
            let result = unsafe {
                libc::ioctl(
                    std::os::fd::AsRawFd::as_raw_fd(&socket),
                    SIOCETHTOOL,
                    &raw mut request,
                )
            };
            assert_eq!(result, 0, "{interface}: {}", io::Error::last_os_error());
        });
    }

    /// Packets an interface has received.
    pub(crate) fn received(&self, interface: &str) -> u64 {
        self.within(|| {
            let text = fs::read_to_string("/proc/thread-self/net/dev").expect("read counters");
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.trim() == interface)
                .and_then(|(_, counts)| counts.split_whitespace().nth(1)?.parse().ok())
                .expect("a counter")
        })
    }
}

/// Keeps the calling thread on one CPU.
pub(crate) fn pin(cpu: usize) {
    // SAFETY: an all-zero set is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is below the size of the set on every machine tests run on.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: a valid set for the calling thread.
    let result =
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    assert_eq!(result, 0, "pin to CPU {cpu}");
}
