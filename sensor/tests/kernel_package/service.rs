//! The life of the service.

use std::time::Instant;

use crate::{
    guest::{Guest, UNIT, debian},
    made::package,
    netns::{Pair, Serial},
    traffic::{get, in_traffic, metric, scan},
};

/// The bits of CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON and CAP_BPF (capabilities(7)).
const CAPABILITIES: u64 = 1 << 12 | 1 << 13 | 1 << 38 | 1 << 39;

/// Learns from little, and is looked after closely.
const CONFIGURATION: &str = "[capture]\ninterfaces = [\"veth-b\"]\n\n[flow]\nidle_timeout = \"1s\"\n\n[live]\nlearn_flows = 50\n";
const CLOSELY: &str = "[Service]\nWatchdogSec=3s\nRestartSec=200ms\nTimeoutAbortSec=3s\n";

#[test]
#[ignore = "kernel: needs root"]
fn installed_begun_hung_ended_and_purged() {
    let Some(root) = debian() else {
        return;
    };
    let _serial = Serial::take();
    let dist = tempfile::tempdir().expect("a folder");
    let package = package(dist.path());
    let name = package.file_name().expect("a name").to_string_lossy();
    let pair = Pair::new();
    let begun = Instant::now();
    let guest = Guest::boot(&root, &pair.b, dist.path());
    watchdogs(&guest, false);
    println!("booted in {:.1} s", begun.elapsed().as_secs_f64());

    installed_and_quiet(&guest, &name);
    unconfigured_ends_and_stays_ended(&guest);

    guest.write("/etc/anomaly-detect/conf.d/10-test.toml", CONFIGURATION);
    guest.write(
        "/etc/systemd/system/anomaly-detect.service.d/closely.conf",
        CLOSELY,
    );
    guest.run(&["systemctl", "daemon-reload"]);
    in_traffic(&pair, || {
        let begun = Instant::now();
        // Comes back when the service has said that it is ready.
        guest.run(&["systemctl", "start", UNIT]);
        println!("ready after {:.1} s", begun.elapsed().as_secs_f64());
        assert_eq!(guest.property("ActiveState"), "active");
        assert_eq!(
            get(&pair.b, 9477, "/readyz").map(|(status, _)| status),
            Some(200)
        );
        it_is_confined(&guest);
        it_captures_scores_and_serves(&guest, &pair);
        reloading_keeps_the_process(&guest);
        a_hang_is_seen_and_ended(&guest, &pair);
    });
    ended_and_purged(&guest, &pair);
}

/// Whether the manager ends what gives no sign of life. To it a machine that stands still for some seconds is a service that
/// hangs, so it does while one hangs.
fn watchdogs(guest: &Guest, are_on: bool) {
    let word = if are_on { "yes" } else { "no" };
    guest.run(&["systemctl", "service-watchdogs", word]);
}

fn installed_and_quiet(guest: &Guest, name: &str) {
    let said = guest.run(&["dpkg", "--install", &format!("/mnt/{name}")]);
    assert!(
        said.contains("capture.interfaces"),
        "it says what to do next: {said}"
    );
    assert_eq!(guest.says(&["systemctl", "is-enabled", UNIT]), "disabled");
    assert_eq!(guest.says(&["systemctl", "is-active", UNIT]), "inactive");
    assert_eq!(guest.run(&["dpkg", "--verify", "anomaly-detect"]), "");
    let configured = guest.run(&[
        "anomaly-detect",
        "config",
        "check",
        "/etc/anomaly-detect/config.toml",
    ]);
    assert!(
        configured.contains("output.folder = \"/var/lib/anomaly-detect\""),
        "{configured}"
    );
    guest.run(&[
        "bash",
        "-n",
        "/usr/share/bash-completion/completions/anomaly-detect",
    ]);
    for page in [
        "anomaly-detect",
        "anomaly-detect-live",
        "anomaly-detect-config-explain",
    ] {
        // A minimal Debian leaves manual pages out where it says so.
        let has_pages = guest.says(&["sh", "-c", "cat /etc/dpkg/dpkg.cfg.d/* 2>/dev/null"]);
        if !has_pages.contains("path-exclude") {
            guest.run(&["gzip", "-t", &format!("/usr/share/man/man1/{page}.1.gz")]);
        }
    }
}

fn unconfigured_ends_and_stays_ended(guest: &Guest) {
    assert!(
        !guest
            .try_run(&["systemctl", "start", UNIT])
            .status
            .success()
    );
    assert_eq!(guest.property("ExecMainStatus"), "2", "{}", guest.journal());
    assert_eq!(guest.property("NRestarts"), "0");
    assert!(
        guest.journal().contains("capture.interfaces"),
        "{}",
        guest.journal()
    );
    guest.run(&["systemctl", "reset-failed", UNIT]);
}

/// Its user, none of its capabilities any more, no way to new ones, and a filter of system calls.
fn it_is_confined(guest: &Guest) {
    let process = guest.property("MainPID");
    let status = guest.run(&["cat", &format!("/proc/{process}/status")]);
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| {
                value
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
            .unwrap_or_else(|| panic!("no {name} in {status}"))
    };
    let bits = |name: &str| u64::from_str_radix(&field(name), 16).expect("hexadecimal");
    assert_eq!(field("Uid"), guest.run(&["id", "-u", "anomaly-detect"]));
    assert_eq!(
        bits("CapBnd"),
        CAPABILITIES,
        "it could never have had others"
    );
    for name in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert_eq!(bits(name), 0, "{name}");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("Seccomp"), "2");
    // Of threads each has its own.
    let threads = guest.run(&[
        "sh",
        "-c",
        &format!("grep -h CapEff /proc/{process}/task/*/status"),
    ]);
    assert!(threads.lines().count() > 2, "{threads}");
    assert!(
        threads
            .lines()
            .all(|line| line.ends_with("0000000000000000")),
        "{threads}"
    );
}

fn it_captures_scores_and_serves(guest: &Guest, pair: &Pair) {
    let link = pair.b.ip(&["-d", "link", "show", "dev", "veth-b"]);
    assert!(link.contains("xdp"), "{link}");
    guest.until("the baseline is learned", || {
        get(&pair.b, 9477, "/readyz").is_some_and(|(_, line)| line == "watching\n")
    });
    assert_eq!(
        get(&pair.b, 9477, "/healthz"),
        Some((200, "ok\n".to_owned()))
    );
    // By the configuration of the service, which nobody has named.
    assert_eq!(guest.run(&["anomaly-detect", "health"]), "watching");
    let text = get(&pair.b, 9477, "/metrics")
        .map(|(_, text)| text)
        .unwrap_or_default();
    assert!(
        text.contains("ingress=\"xdp_native\""),
        "{}",
        lines(&text, "capture")
    );
    let value = |name: &str| metric(&pair.b, name).unwrap_or_else(|| panic!("no {name}"));
    let before = value("anomaly_detect_incidents_total");
    scan(pair);
    guest.until("flows are scored and the scan is an incident", || {
        value("anomaly_detect_flows_scored_total") > 0.0
            && value("anomaly_detect_incidents_total") > before
    });
    assert_eq!(value("anomaly_detect_unaccounted_packets_total"), 0.0);
    guest.until("a grave incident is told in the journal", || {
        let journal = guest.journal();
        journal.contains("  high  ") || journal.contains("  critical  ")
    });
    guest.until("a status that people read", || {
        guest.property("StatusText").contains("incident")
    });
    // The watchdog is back to what the unit says, after more patience while learning.
    assert_eq!(guest.property("WatchdogUSec"), "3s");
    let (status, page) = get(&pair.b, 9478, "/").expect("the dashboard");
    assert_eq!(status, 200);
    assert!(page.contains("<html"), "{page}");
    // The store of the service, by its configuration, which nobody has named.
    guest.until("the store has incidents", || {
        guest
            .says(&["anomaly-detect", "alerts", "list"])
            .contains("10.77.0.1")
    });
    let strays = guest.run(&[
        "find",
        "/",
        "-xdev",
        "-user",
        "anomaly-detect",
        "!",
        "-path",
        "/var/lib/anomaly-detect",
        "!",
        "-path",
        "/var/lib/anomaly-detect/*",
        "!",
        "-path",
        "/proc/*",
    ]);
    assert_eq!(strays, "", "it writes to its state folder only");
    let state = guest.run(&["ls", "/var/lib/anomaly-detect"]);
    assert!(state.contains("model_outputs"), "{state}");
    assert_eq!(
        guest.run(&["stat", "-c", "%a %U", "/var/lib/anomaly-detect"]),
        "750 anomaly-detect"
    );
}

fn lines(text: &str, with: &str) -> String {
    let found: Vec<_> = text.lines().filter(|line| line.contains(with)).collect();
    found.join("\n")
}

fn reloading_keeps_the_process(guest: &Guest) {
    let process = guest.property("MainPID");
    // Comes back when the service has said that it is ready again.
    guest.run(&["systemctl", "reload", UNIT]);
    assert_eq!(guest.property("MainPID"), process);
    assert_eq!(guest.property("ActiveState"), "active");
}

fn a_hang_is_seen_and_ended(guest: &Guest, pair: &Pair) {
    assert_eq!(guest.property("NRestarts"), "0", "{}", guest.journal());
    watchdogs(guest, true);
    let (mut restarts, mut process) = (String::new(), String::new());
    guest.until("one that is looked after closely hangs", || {
        restarts = guest.property("NRestarts");
        // Not while it learns again, where the machine stood still just now and it was begun anew for that.
        if guest.property("WatchdogUSec") != "3s" {
            return false;
        }
        process = guest.property("MainPID");
        let signal = |name: &str| guest.try_run(&["systemctl", "kill", "--signal", name, UNIT]);
        let is_stopped = signal("STOP").status.success();
        let is_the_same = is_stopped && guest.property("NRestarts") == restarts;
        if !is_the_same {
            signal("CONT");
        }
        is_the_same
    });
    guest.until("the watchdog has begun it anew", || {
        guest.property("NRestarts") != restarts
    });
    guest.until("it is ready again", || {
        get(&pair.b, 9477, "/readyz").is_some_and(|(status, _)| status == 200)
    });
    watchdogs(guest, false);
    assert_ne!(guest.property("MainPID"), process);
    assert!(
        guest.journal().contains("Watchdog timeout"),
        "{}",
        guest.journal()
    );
}

fn ended_and_purged(guest: &Guest, pair: &Pair) {
    guest.run(&["systemctl", "stop", UNIT]);
    let asked = guest.try_run(&["anomaly-detect", "health"]);
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
    assert_eq!(guest.property("Result"), "success", "{}", guest.journal());
    let link = pair.b.ip(&["-d", "link", "show", "dev", "veth-b"]);
    assert!(!link.contains("xdp"), "{link}");
    guest.run(&["dpkg", "--purge", "anomaly-detect"]);
    for path in ["/var/lib/anomaly-detect", "/usr/bin/anomaly-detect"] {
        assert!(
            !guest.try_run(&["test", "-e", path]).status.success(),
            "{path} stays"
        );
    }
    guest.run(&["id", "anomaly-detect"]);
}
