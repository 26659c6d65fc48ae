//! The program as a container engine runs it: no systemd, another user, four capabilities in the bounding set, and on the
//! file as permitted.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    guest::PATIENCE,
    made::has,
    netns::{Pair, Serial, pause},
    traffic::{get, in_traffic},
};

/// The user of the image (deploy/docker/Dockerfile).
const USER: u32 = 65_532;
const CAPABILITIES: &str = "cap_bpf,cap_net_admin,cap_net_raw,cap_perfmon=p";

/// For setpriv(1).
const BOUNDING: &str = "-all,+bpf,+net_admin,+net_raw,+perfmon";

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Of another user, bounded to these capabilities, with none on the way in.
fn as_user(namespace: &str, bounding: &str) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", namespace, "setpriv"])
        .args([format!("--reuid={USER}"), format!("--regid={USER}")])
        .args(["--clear-groups", "--inh-caps=-all", "--ambient-caps=-all"])
        .arg(format!("--bounding-set={bounding}"))
        .stdin(Stdio::null());
    command
}

fn program(folder: &Path) -> std::path::PathBuf {
    let program = folder.join("anomaly-detect");
    fs::copy(env!("CARGO_BIN_EXE_anomaly-detect"), &program).expect("copy the program");
    let set = Command::new("setcap")
        .arg(CAPABILITIES)
        .arg(&program)
        .status()
        .expect("setcap");
    assert!(set.success());
    program
}

#[test]
#[ignore = "kernel: needs root"]
fn a_container_captures_with_four_capabilities() {
    if !has(&["setpriv", "setcap"]) {
        return;
    }
    let _serial = Serial::take();
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    let program = program(folder.path());
    let state = folder.path().join("state");
    fs::create_dir(&state).expect("a folder");
    chown(&state, Some(USER), Some(USER)).expect("hand it over");
    let pair = Pair::new();

    // Without the capabilities the program starts all the same, and what needs none works.
    let output = as_user(&pair.b.name, "-all")
        .arg(&program)
        .args(["config", "check", "--quiet"])
        .output()
        .expect("setpriv");
    assert!(output.status.success(), "{output:?}");
    let output = as_user(&pair.b.name, "-all")
        .arg(&program)
        .args([
            "live",
            "--iface",
            "veth-b",
            "--capture",
            "xdp",
            "--set",
            "metrics.listen=",
        ])
        .arg("--output")
        .arg(&state)
        .output()
        .expect("setpriv");
    assert_eq!(output.status.code(), Some(77), "no permission: {output:?}");

    let user = as_user(&pair.b.name, BOUNDING);
    captures(&pair, user, &program, &state);

    // As the DaemonSet does: user 0 with the same four, and no way to more.
    let mut root = Command::new("ip");
    root.args(["netns", "exec", &pair.b.name, "setpriv"])
        .args(["--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs"])
        .arg(format!("--bounding-set={BOUNDING}"))
        .stdin(Stdio::null());
    let own = folder.path().join("own");
    fs::create_dir(&own).expect("a folder");
    captures(&pair, root, &program, &own);
}

/// It becomes ready, its program is at the interface, and it has given up what it needed for that.
fn captures(pair: &Pair, mut sensor: Command, program: &Path, state: &Path) {
    in_traffic(pair, || {
        let sensor = sensor
            .arg(program)
            .args(["live", "--iface", "veth-b", "--capture", "xdp"])
            .arg("--output")
            .arg(state)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv");
        let mut sensor = Running(sensor);
        let begun = Instant::now();
        while get(&pair.b, 9477, "/readyz").is_none_or(|(status, _)| status != 200) {
            let ended = sensor.0.try_wait().expect("a child");
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "not ready ({ended:?})"
            );
            pause(Duration::from_millis(100));
        }
        let link = pair.b.ip(&["-d", "link", "show", "dev", "veth-b"]);
        assert!(link.contains("xdp"), "{link}");
        let status = fs::read_to_string(format!("/proc/{}/status", sensor.0.id())).expect("status");
        let effective = status.lines().find(|line| line.starts_with("CapEff:"));
        assert_eq!(effective, Some("CapEff:\t0000000000000000"), "given up");
    });
}
