//! `--fix`: what hides packets is switched off while somebody watches and is on again at the end, however that comes, short of `kill -9`.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    netns::{Pair, Serial, pause},
    process::{BINARY, attached, sensor, soon},
};

/// Whether the driver takes VLAN tags off frames that arrive at `veth-b`.
fn strips(pair: &Pair) -> bool {
    let features = pair.b.exec(&["ethtool", "-k", "veth-b"]);
    let line = (features.lines()).find_map(|line| line.strip_prefix("rx-vlan-offload: "));
    line.is_some_and(|state| state.starts_with("on"))
}

/// Whether the machine has `ethtool`, by which this is seen from outside.
fn can_look() -> bool {
    let found = Command::new("ethtool").arg("--version").output();
    if found.is_err() {
        println!("left out: no ethtool here");
    }
    found.is_ok()
}

fn signal(child: &Child, signal: libc::c_int) {
    // SAFETY: a child of ours that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

/// What is said of a check.
fn doctor(pair: &Pair, check: &str, more: &[&str]) -> String {
    let output = Command::new("ip")
        .args(["netns", "exec", &pair.b.name, BINARY, "doctor", "--json"])
        .args(["--set", "metrics.listen="])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("run doctor");
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found = (all.as_array().into_iter().flatten()).find(|found| found["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no check {check} in {all:#}"));
    found["state"].as_str().expect("a state").to_owned()
}

#[test]
#[ignore = "kernel: needs root"]
fn doctor_fixes_what_it_names_and_puts_it_back() {
    const CHECK: &str = "veth-b: VLAN stripping";
    let _serial = Serial::take();
    if !can_look() {
        return;
    }
    let pair = Pair::new();
    assert!(strips(&pair), "veth does so by default");
    // Named by a flag, in the configuration, or as a tap there.
    for named in [
        ["--iface", "veth-b"],
        ["--set", "capture.interfaces=veth-b"],
        ["--set", "capture.taps=veth-b"],
    ] {
        assert_eq!(doctor(&pair, CHECK, &named), "limited");
        let fixing = [&named[..], &["--fix"]].concat();
        assert_eq!(doctor(&pair, CHECK, &fixing), "ok", "{named:?}");
        assert!(strips(&pair), "put back");
    }
    // What was off before stays off.
    pair.b.exec(&["ethtool", "-K", "veth-b", "rxvlan", "off"]);
    assert_eq!(doctor(&pair, CHECK, &["--iface", "veth-b", "--fix"]), "ok");
    assert!(!strips(&pair));
}

#[test]
#[ignore = "kernel: needs root"]
fn live_puts_back_what_it_fixed_at_every_end_but_a_kill() {
    let _serial = Serial::take();
    if !can_look() {
        return;
    }
    let pair = Pair::new();
    let tap = ["--tap", "veth-b", "--set", "capture.mode=auto"];
    for (how, more) in [
        (libc::SIGINT, &[][..]),
        (libc::SIGTERM, &["--user", "nobody"][..]),
        (libc::SIGINT, &tap[..]),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let mut child = sensor(&pair, folder.path(), &[&["--fix"], more].concat());
        attached(&pair, &mut child);
        assert!(!strips(&pair), "off while it watches: {more:?}");
        signal(&child, how);
        let output = child.wait_with_output().expect("wait");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(
            said.contains("veth-b: VLAN stripping switched off"),
            "{said}"
        );
        assert!(!said.contains("could not be switched on"), "{said}");
        assert!(strips(&pair), "on again after signal {how}: {said}");
    }
    // The end of its time; and an end before it began, because the interface cannot be watched.
    let folder = tempfile::tempdir().expect("folder");
    let over = sensor(&pair, folder.path(), &["--fix", "--duration", "1s"]);
    assert!(over.wait_with_output().expect("wait").status.success());
    assert!(strips(&pair));
    let mut other = sensor(&pair, folder.path(), &[]);
    attached(&pair, &mut other);
    let refused = sensor(
        &pair,
        tempfile::tempdir().expect("folder").path(),
        &["--fix"],
    );
    let refused = refused.wait_with_output().expect("wait");
    assert_eq!(refused.status.code(), Some(69));
    assert!(strips(&pair));
    signal(&other, libc::SIGTERM);
    assert!(other.wait().expect("wait").success());
}

/// A signal that comes while the programs are being loaded, when the offload is off and nobody waits for signals yet, is not the end of the
/// process but the first thing it hears of; and a second one, that ends it at once, still puts back.
#[test]
#[ignore = "kernel: needs root"]
fn a_signal_at_any_moment_leaves_the_interface_as_it_was() {
    let _serial = Serial::take();
    if !can_look() {
        return;
    }
    let pair = Pair::new();
    let folder = tempfile::tempdir().expect("folder");
    for wait in [0, 5, 20, 60, 150, 300, 600, 1200] {
        let child = sensor(&pair, folder.path(), &["--fix"]);
        let begun = soon(|| !strips(&pair));
        assert!(begun, "it begins with the interface");
        pause(Duration::from_millis(wait));
        signal(&child, libc::SIGINT);
        let output = child.wait_with_output().expect("wait");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "after {wait} ms: {said}");
        assert!(strips(&pair), "after {wait} ms: {said}");
    }
    for _ in 0..4 {
        let mut child = sensor(&pair, folder.path(), &["--fix"]);
        attached(&pair, &mut child);
        assert!(!strips(&pair));
        signal(&child, libc::SIGINT);
        signal(&child, libc::SIGTERM);
        let _ = child.wait().expect("wait");
        assert!(strips(&pair), "after two signals");
    }
}
