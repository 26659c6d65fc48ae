//! Network namespaces of a test's own, with veth pairs between them. All that is made here goes when the values
//! are dropped, also when a test fails.

use std::{
    fs::{self, File},
    io,
    process::{self, Command},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
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
        namespace.exec(&[
            "sysctl",
            "-qw",
            // Router solicitations and the like would be packets nobody has sent.
            "net.ipv6.conf.default.accept_dad=0",
            "net.ipv6.conf.default.router_solicitations=0",
            // Packets wait for their receiver in a queue of 256 (veth) or 1,000 (`netdev_max_backlog`), and what does not fit is thrown
            // away between one observer and the next. With windows of this size, for IPv6 too, all that is under way fits.
            "net.ipv4.tcp_rmem=4096 65536 131072",
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
        thread::scope(|scope| {
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
        self.of_interface(interface, "ifindex")
            .parse()
            .expect("an index")
    }

    /// What an interface has counted (`rx_packets`, `tx_dropped` and so on: linux/Documentation/ABI/testing/sysfs-class-net-statistics).
    pub(crate) fn counter(&self, interface: &str, name: &str) -> u64 {
        self.of_interface(interface, &format!("statistics/{name}"))
            .parse()
            .expect("a counter")
    }

    /// Hardware address of an interface inside.
    pub(crate) fn hardware_address(&self, interface: &str) -> String {
        self.of_interface(interface, "address")
    }

    fn of_interface(&self, interface: &str, file: &str) -> String {
        let text = self.exec(&["cat", &format!("/sys/class/net/{interface}/{file}")]);
        text.trim().to_owned()
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

    /// From here on each end knows the hardware address of the other for good. A host behind a tap does not answer to being asked for it;
    /// and of the packets that wait for an answer the oldest are thrown away, counted by nobody here (`__neigh_event_send`).
    pub(crate) fn introduce(&self) {
        for (own, interface, other, peer, host) in [
            (&self.a, "veth-a", &self.b, "veth-b", "2"),
            (&self.b, "veth-b", &self.a, "veth-a", "1"),
        ] {
            let hardware = other.hardware_address(peer);
            for address in ["10.77.0.", "fd77::"].map(|network| network.to_owned() + host) {
                let neighbour = ["neighbour", "replace", &address, "lladdr", &hardware];
                let always = ["dev", interface, "nud", "permanent"];
                own.ip(&[&neighbour[..], &always].concat());
            }
        }
    }

    /// From here on nobody sends but the test, over IPv4: neither end asks for the other's address or tells of its own.
    pub(crate) fn hush(&self) {
        self.introduce();
        for namespace in [&self.a, &self.b] {
            namespace.exec(&["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]);
        }
        // Multicast groups are left first.
        pause(Duration::from_millis(100));
    }

    /// Packets that one end sent and that did not come to the stack of the other, as [`Self::lost_before_hook`].
    pub(crate) fn lost_under_way(&self) -> u64 {
        self.lost_before_hook() + self.b.counter("veth-b", "tx_dropped")
    }

    /// Packets that `a` sent and that came to no hook of `veth-b`, since its queue, of 256 packets, was full. Only the interfaces know: to a socket
    /// such a packet is sent as any other. Those of sockets (`veth_xmit`) and live frames (`veth_ndo_xdp_xmit`) are all counted as
    /// dropped by the sender (drivers/net/veth.c, `veth_get_stats64`).
    pub(crate) fn lost_before_hook(&self) -> u64 {
        self.a.counter("veth-a", "tx_dropped")
    }
}

/// Waits. (Parking would end at once where a scoped thread has ended before, which unparks.)
pub(crate) fn pause(time: Duration) {
    sensor::capture::Stop::default().wait(time);
}

/// Runs `body` while others, each on a thread of its own, do what they do until they are told that it is over.
pub(crate) fn meanwhile<T>(
    others: &[&(dyn Fn(&AtomicBool) + Sync)],
    body: impl FnOnce() -> T,
) -> T {
    /// Also where `body` panics: the others must end for the panic to be seen.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = End(&over);
        for other in others {
            scope.spawn(|| other(&over));
        }
        body()
    })
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
}

/// The CPUs that this process may use, as of the first time that this is asked: threads that were pinned since do not count.
fn allowed() -> &'static [usize] {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(|| {
        // SAFETY: an all-zero set is an empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: a set that can be written to, for the calling thread.
        let result =
            unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
        (0..libc::CPU_SETSIZE as usize)
            // SAFETY: a valid set, and a number below its size.
            .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) })
            .collect()
    })
}

/// How many CPUs a test can pin threads to.
pub(crate) fn cpus() -> usize {
    allowed().len()
}

/// Keeps the calling thread on one CPU: the one of this number among those that it may use, round and round.
pub(crate) fn pin(number: usize) {
    let cpu = allowed()[number % cpus()];
    // SAFETY: an all-zero set is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` comes from such a set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: a valid set for the calling thread.
    let result =
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    assert_eq!(result, 0, "pin to CPU {cpu}");
}
