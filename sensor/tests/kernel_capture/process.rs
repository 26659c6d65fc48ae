//! The real program in a namespace of its own, with traffic from the other end of a veth pair, and what is seen of it from outside.

use std::{
    fs,
    net::UdpSocket,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant, SystemTime},
};

use crate::netns::{Pair, meanwhile, pause};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_anomaly-detect");

/// The sensor on `veth-b`; it learns from little, so that it also keeps models.
pub(crate) fn sensor(pair: &Pair, folder: &Path, more: &[&str]) -> Child {
    Command::new("ip")
        .args([
            "netns",
            "exec",
            &pair.b.name,
            BINARY,
            "live",
            "--iface",
            "veth-b",
            "--capture",
            "xdp",
        ])
        .args([
            "--set",
            "metrics.listen=",
            "--set",
            "live.learn_flows=50",
            "--set",
            "flow.idle_timeout=1s",
        ])
        .arg("--output")
        .arg(folder)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the sensor")
}

/// Sends datagrams, each a flow, until told to stop.
fn traffic(pair: &Pair, until: &AtomicBool) {
    pair.a.within(|| {
        while !until.load(Ordering::Relaxed) {
            let socket = UdpSocket::bind("10.77.0.1:0").expect("bind");
            let _ = socket.send_to(b"hello", "10.77.0.2:5000");
            pause(Duration::from_millis(2));
        }
    });
}

/// Runs `body` while there is traffic.
pub(crate) fn in_traffic<T>(pair: &Pair, body: impl FnOnce() -> T) -> T {
    meanwhile(&[&|over: &AtomicBool| traffic(pair, over)], body)
}

/// What hangs on `veth-b`: nothing, when no sensor runs.
pub(crate) fn hooks(pair: &Pair) -> Vec<String> {
    let mut found = Vec::new();
    let link = pair.b.ip(&["-d", "link", "show", "dev", "veth-b"]);
    found.extend(
        link.lines()
            .filter(|line| line.contains("xdp"))
            .map(str::to_owned),
    );
    let index = pair.b.index("veth-b");
    found.extend(
        pair.b
            .within(|| tcx_programs(index))
            .map(|count| format!("{count} on TCX egress")),
    );
    let filters = Command::new("tc")
        .args([
            "-n",
            &pair.b.name,
            "filter",
            "show",
            "dev",
            "veth-b",
            "egress",
        ])
        .output();
    let filters = filters.map_or(String::new(), |output| {
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    found.extend(
        filters
            .lines()
            .filter(|line| line.contains("bpf"))
            .map(str::to_owned),
    );
    found
}

/// Programs at TCX on egress, if there are any (`BPF_PROG_QUERY`; the first fields of its attribute).
fn tcx_programs(interface: u32) -> Option<u32> {
    const BPF_PROG_QUERY: libc::c_long = 16;
    const BPF_TCX_EGRESS: u32 = 47;
    #[repr(C)]
    struct Query {
        target: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        ids: u64,
        count: u32,
        rest: [u32; 25],
    }
    let mut query = Query {
        target: interface,
        attach_type: BPF_TCX_EGRESS,
        query_flags: 0,
        attach_flags: 0,
        ids: 0,
        count: 0,
        rest: [0; 25],
    };
    // SAFETY: the attribute lives until the call returns; no ids are asked for, so nothing else is written.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut query, 64) };
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    (query.count > 0).then_some(query.count)
}

/// Our programs that were loaded since `begun`, in the whole machine.
pub(crate) fn programs_since(begun: SystemTime) -> usize {
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .filter(|program| {
            program
                .name_as_str()
                .is_some_and(|name| name.starts_with("flow_"))
                && program.loaded_at().is_some_and(|loaded| loaded >= begun)
        })
        .count()
}

/// Whether it becomes true: links and programs go when the last packet has left them. A busy machine takes its time, so the minute is there
/// for what would never become true.
pub(crate) fn soon(mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        if is_so() {
            return true;
        }
        pause(Duration::from_millis(20));
    }
    false
}

/// Every line but the last that a kill may have cut has as many fields as the header.
pub(crate) fn check_csv(path: &Path) -> usize {
    let Ok(text) = fs::read_to_string(path) else {
        return 0;
    };
    let fields = |line: &str| {
        let mut quoted = false;
        1 + line
            .chars()
            .filter(|c| {
                quoted ^= *c == '"';
                *c == ',' && !quoted
            })
            .count()
    };
    let whole: Vec<&str> = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .collect();
    let Some((header, rows)) = whole.split_first() else {
        return 0;
    };
    for row in rows {
        assert_eq!(fields(row), fields(header), "{}: {row}", path.display());
    }
    rows.len()
}

pub(crate) fn command(arguments: &[&str], folder: &Path) -> Output {
    Command::new(BINARY)
        .args(arguments)
        .args(["--set", &format!("output.folder={}", folder.display())])
        .output()
        .expect("run a command")
}

/// A field of `/proc/PID/status`, of each thread.
pub(crate) fn statuses(child: &Child, field: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).expect("threads");
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok())
        .filter_map(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            Some(
                line.trim_start_matches(':')
                    .split_whitespace()
                    .next()?
                    .to_owned(),
            )
        })
        .collect()
}

pub(crate) fn terminate(child: &Child) {
    // SAFETY: a child of ours that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
}

/// Waits until the sensor is attached and has had time to give up its privileges.
pub(crate) fn attached(pair: &Pair, child: &mut Child) {
    assert!(
        soon(|| {
            if child.try_wait().expect("child").is_some() {
                return true;
            }
            !hooks(pair).is_empty()
                && statuses(child, "NoNewPrivs")
                    .iter()
                    .any(|value| value == "1")
        }),
        "it attaches"
    );
    assert!(child.try_wait().expect("child").is_none(), "it has ended");
}
