//! The office: hosts in network namespaces, a switch with a mirror port, a router, and the outside world.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::process::{Failure, run};

/// One host on the office network.
pub(super) struct Host {
    /// Name, of the namespace also.
    pub(super) name: &'static str,
    /// Last byte of its address in 192.168.20.0/24 and 2001:db8:20::/64.
    pub(super) number: u8,
}

/// Who is there. The first is the router.
pub(super) const HOSTS: &[Host] = &[
    Host {
        name: "gateway",
        number: 1,
    },
    Host {
        name: "files",
        number: 5,
    },
    Host {
        name: "intranet",
        number: 6,
    },
    Host {
        name: "monitor",
        number: 9,
    },
    Host {
        name: "ws1",
        number: 21,
    },
    Host {
        name: "ws2",
        number: 22,
    },
    Host {
        name: "ws3",
        number: 23,
    },
    Host {
        name: "ws4",
        number: 24,
    },
    Host {
        name: "ws5",
        number: 25,
    },
    Host {
        name: "ws6",
        number: 26,
    },
    Host {
        name: "printer",
        number: 30,
    },
];

/// Names that the office resolves, with their addresses outside (RFC 5737 and RFC 3849 documentation ranges).
pub(super) const SITES: &[(&str, &str, Option<&str>)] = &[
    ("www.example.com", "203.0.113.10", Some("2001:db8:113::10")),
    (
        "static.example.com",
        "203.0.113.11",
        Some("2001:db8:113::11"),
    ),
    ("news.example.net", "203.0.113.20", None),
    ("img.example.net", "203.0.113.21", None),
    ("shop.example.org", "203.0.113.30", None),
    ("cdn.example.org", "203.0.113.31", Some("2001:db8:113::31")),
    ("cloud.example.net", "203.0.113.40", None),
    ("mail.example.com", "203.0.113.50", None),
    ("video.example.org", "198.51.100.10", None),
    ("updates.example.com", "198.51.100.20", None),
    ("api.example.net", "198.51.100.30", Some("2001:db8:113::30")),
];

/// Where the stolen data goes. Has no name.
pub(super) const DROP_ADDRESS: &str = "198.51.100.77";
/// Who guesses passwords.
pub(super) const GUESSER_ADDRESS: &str = "198.51.100.23";

/// The built network.
pub(super) struct Office {
    scratch: PathBuf,
}

/// Gives this process its own `/run`, resolver configuration and host name.
pub(super) fn private_machine(scratch: &Path) -> Result<(), Failure> {
    run(Command::new("mount").args(["-t", "tmpfs", "office", "/run"]))?;
    run(Command::new("hostname").arg("office"))?;
    for folder in [scratch, Path::new("/run/netns"), Path::new("/run/sshd")] {
        fs::create_dir_all(folder).map_err(Failure::file(folder))?;
    }
    let resolver = scratch.join("resolv.conf");
    fs::write(
        &resolver,
        "nameserver 192.168.20.1\noptions timeout:1 attempts:2\n",
    )
    .map_err(Failure::file(&resolver))?;
    // A link is followed to the file behind it, which must exist for the mount.
    run(Command::new("mount")
        .arg("--bind")
        .arg(&resolver)
        .arg("/etc/resolv.conf"))
}

impl Office {
    /// Builds namespaces, links, addresses and routes.
    pub(super) fn build(scratch: &Path) -> Result<Self, Failure> {
        let office = Self {
            scratch: scratch.to_path_buf(),
        };
        for name in ["switch", "sensor", "outside"] {
            office.namespace(name)?;
        }
        office.quiet("switch")?;
        office.quiet("sensor")?;
        office.sh(
            "switch",
            "ip link add br0 type bridge && ip link set br0 up",
        )?;
        // The mirror port: what the sensor's interface sees is a copy of every frame that enters the switch.
        office.sh("switch", "ip link add mirror0 type veth peer name tap0 && ip link set tap0 netns sensor && ip link set mirror0 mtu 9000 up")?;
        office.sh("sensor", "ip link set tap0 mtu 9000 up")?;
        for host in HOSTS {
            office.attach(host)?;
        }
        office.uplink()?;
        Ok(office)
    }

    /// A file or folder that goes with the recording.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// A program on a host, bounded in time, its output dropped.
    pub(super) fn on(&self, host: &str, seconds: u64, program: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args([
                "netns",
                "exec",
                host,
                "timeout",
                "--kill-after=2",
                &seconds.to_string(),
                program,
            ])
            .current_dir(&self.scratch)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// A shell line on a host that must succeed.
    pub(super) fn sh(&self, host: &str, line: &str) -> Result<(), Failure> {
        run(self
            .on(host, 20, "sh")
            .args(["-ec", line])
            .stderr(Stdio::inherit()))
    }

    fn namespace(&self, name: &str) -> Result<(), Failure> {
        run(Command::new("ip").args(["netns", "add", name]))?;
        self.sh(name, "ip link set lo up")
    }

    /// No IPv6 of its own: the switch and the sensor must not speak.
    fn quiet(&self, name: &str) -> Result<(), Failure> {
        self.sh(
            name,
            "for f in all default; do echo 1 > /proc/sys/net/ipv6/conf/$f/disable_ipv6; done",
        )
    }

    /// A host on a port of the switch, mirrored.
    fn attach(&self, host: &Host) -> Result<(), Failure> {
        let Host { name, number } = host;
        self.namespace(name)?;
        let port = format!("p-{name}");
        self.sh(
            "switch",
            &format!(
                "ip link add {port} type veth peer name lan0 netns {name}\n\
                 ip link set {port} master br0 up\n\
                 tc qdisc add dev {port} clsact\n\
                 tc filter add dev {port} ingress protocol all u32 match u32 0 0 action mirred egress mirror dev mirror0"
            ),
        )?;
        // Offloads off: what crosses the switch is what a wire would carry, with checksums and MTU-sized frames.
        self.sh(
            name,
            &format!(
                "ip link set lan0 address 02:00:c0:a8:14:{number:02x}\n\
                 ethtool -K lan0 tx off sg off tso off gso off gro off > /dev/null\n\
                 ip addr add 192.168.20.{number}/24 dev lan0\n\
                 ip addr add 2001:db8:20::{number:x}/64 dev lan0 nodad\n\
                 ip link set lan0 up"
            ),
        )?;
        if host.number == 1 {
            return Ok(());
        }
        self.sh(
            name,
            "ip route add default via 192.168.20.1; ip -6 route add default via 2001:db8:20::1",
        )
    }

    /// The line to the outside: 30 Mbit/s each way, with a queue.
    fn uplink(&self) -> Result<(), Failure> {
        self.sh(
            "gateway",
            "echo 1 > /proc/sys/net/ipv4/ip_forward\n\
             echo 1 > /proc/sys/net/ipv6/conf/all/forwarding\n\
             ip link add wan0 type veth peer name wan0 netns outside\n\
             ip addr add 203.0.113.1/30 dev wan0\n\
             ip addr add 2001:db8:113::1/126 dev wan0 nodad\n\
             ethtool -K wan0 tx off sg off tso off gso off gro off > /dev/null\n\
             ip link set wan0 up\n\
             tc qdisc add dev wan0 root tbf rate 30mbit burst 64kb latency 60ms\n\
             ip route add default via 203.0.113.2",
        )?;
        self.sh(
            "outside",
            "ip addr add 203.0.113.2/30 dev wan0\n\
             ip addr add 2001:db8:113::2/126 dev wan0 nodad\n\
             ethtool -K wan0 tx off sg off tso off gso off gro off > /dev/null\n\
             ip link set wan0 up\n\
             tc qdisc add dev wan0 root tbf rate 30mbit burst 64kb latency 60ms\n\
             ip route add 192.168.20.0/24 via 203.0.113.1\n\
             ip -6 route add 2001:db8:20::/64 via 2001:db8:113::1",
        )?;
        self.sh("gateway", "ip -6 route add default via 2001:db8:113::2")?;
        for address in SITES
            .iter()
            .flat_map(|(_, v4, v6)| [Some(*v4), *v6])
            .flatten()
            .chain([DROP_ADDRESS, GUESSER_ADDRESS])
        {
            let length = if address.contains(':') { 128 } else { 32 };
            self.sh("outside", &format!("ip addr add {address}/{length} dev lo"))?;
        }
        Ok(())
    }
}
