//! A fresh Debian, run by its own systemd.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::{
    made::has,
    netns::{Namespace, pause},
};

/// Until which anything here is over, or hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// A Debian with systemd and nothing else, of the release that this machine has: its C library is the one that the program
/// was linked with. Made once and kept among the build's files.
pub(crate) fn debian() -> Option<PathBuf> {
    if !has(&[
        "debootstrap",
        "systemd-nspawn",
        "nsenter",
        "dpkg-deb",
        "strip",
        "objdump",
    ]) {
        return None;
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let release = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap_or("stable");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-{release}"));
    let done = folder.join("etc/made");
    // A mirror has bad minutes.
    for attempt in 1..=3 {
        if done.exists() {
            return Some(folder);
        }
        let _ = fs::remove_dir_all(&folder);
        let output = Command::new("debootstrap")
            .args([
                "--variant=minbase",
                "--include=systemd-sysv,adduser",
                release,
            ])
            .arg(&folder)
            .stdin(Stdio::null())
            .output()
            .expect("debootstrap");
        if output.status.success() {
            fs::write(&done, "").expect("a mark");
        } else {
            eprintln!(
                "attempt {attempt}: debootstrap: {}",
                String::from_utf8_lossy(&output.stdout)
            );
        }
    }
    assert!(done.exists(), "debootstrap failed three times");
    Some(folder)
}

/// It runs. Ends, with everything in it, when dropped.
pub(crate) struct Guest {
    nspawn: Child,
    /// Its first process, as we number it.
    first: u32,
}

impl Guest {
    /// Boots in a namespace; files of `shared` are in `/mnt`.
    pub(crate) fn boot(root: &Path, namespace: &Namespace, shared: &Path) -> Self {
        let mut nspawn = Command::new("systemd-nspawn");
        nspawn
            .args([
                "--quiet",
                "--boot",
                "--volatile=overlay",
                "--register=no",
                "--keep-unit",
            ])
            .args([
                "--console=pipe",
                "--resolv-conf=off",
                "--timezone=off",
                "--link-journal=no",
            ])
            // What a machine that is not a container has, and the service is to do without.
            .args([
                "--capability=all",
                "--system-call-filter=bpf perf_event_open",
            ])
            .arg(format!("--machine=anomaly-{}", std::process::id()))
            .arg(format!(
                "--network-namespace-path=/run/netns/{}",
                namespace.name
            ))
            .arg(format!("--bind-ro={}:/mnt", shared.display()))
            .arg("--directory")
            .arg(root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        let mut nspawn = nspawn.spawn().expect("systemd-nspawn");
        let begun = Instant::now();
        let mut guest = loop {
            if let Some(first) = child_of(nspawn.id()) {
                break Self { nspawn, first };
            }
            let ended = nspawn.try_wait().expect("a child");
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "systemd-nspawn began nothing ({ended:?})"
            );
            pause(Duration::from_millis(50));
        };
        loop {
            let state = guest.says(&["systemctl", "is-system-running"]);
            if ["running", "degraded"].contains(&state.as_str()) {
                return guest;
            }
            let ended = guest.nspawn.try_wait().expect("a child");
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "the guest is still `{state}` ({ended:?})"
            );
            pause(Duration::from_millis(100));
        }
    }

    /// Runs a program inside, as root.
    pub(crate) fn try_run(&self, arguments: &[&str]) -> Output {
        Command::new("nsenter")
            .args(["--target", &self.first.to_string(), "--all", "--"])
            .args(["timeout", &PATIENCE.as_secs().to_string()])
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("SYSTEMD_PAGER", "")
            .stdin(Stdio::null())
            .output()
            .expect("nsenter")
    }

    /// What a program inside says, whether it is content or not.
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// What a program inside says, which must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Writes a file inside.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
        self.run(&["mkdir", "-p", folder]);
        self.run(&[
            "sh",
            "-c",
            &format!("printf '%s' \"$1\" > {path}"),
            "sh",
            text,
        ]);
    }

    /// A property of our unit.
    pub(crate) fn property(&self, name: &str) -> String {
        self.run(&["systemctl", "show", "--value", "--property", name, UNIT])
    }

    /// Waits until `is` so; fails with the service's own words.
    pub(crate) fn until(&self, what: &str, mut is: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is() {
            assert!(
                begun.elapsed() < PATIENCE,
                "not within {PATIENCE:?}: {what}\n{}",
                self.journal()
            );
            pause(Duration::from_millis(100));
        }
    }

    pub(crate) fn journal(&self) -> String {
        self.says(&["journalctl", "--no-pager", "--lines=60", "--unit", UNIT])
    }
}

pub(crate) const UNIT: &str = "anomaly-detect.service";

impl Drop for Guest {
    fn drop(&mut self) {
        // With the first process of a namespace go all others.
        let _ = Command::new("kill")
            .args(["-KILL", &self.first.to_string()])
            .status();
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
    }
}

/// The first child of a process.
fn child_of(process: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
