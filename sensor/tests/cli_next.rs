//! A stranger types what the program says to do next, as it is printed.

mod cli_support;
#[path = "cli_support/scene.rs"]
mod scene;

use std::path::Path;

use cli_support::{run, stdout};
use scene::Scene;

/// The commands at the end of a summary, without what is said of them.
fn next(summary: &str) -> Vec<String> {
    let lines = summary
        .lines()
        .filter_map(|line| line.strip_prefix("  anomaly-detect "));
    let lines = lines.map(|line| line.split("  # ").next().unwrap_or(line).to_owned());
    lines.collect()
}

fn typed(here: &Path, command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    stdout(here, &words)
}

#[test]
fn what_a_run_says_to_do_next_works_as_printed() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    Scene::busy().write(here, "busy.pcap");
    stdout(here, &["train", "busy.pcap", "-o", "busy.model"]);
    for arguments in [
        &["run", "busy.pcap"][..],
        &["run", "busy.pcap", "-o", "of/monday"],
        &["run", "busy.pcap", "-o", "of/tuesday", "-m", "busy.model"],
    ] {
        let summary = stdout(here, arguments);
        let commands = next(&summary);
        let [dashboard, alerts, explain] = &commands[..] else {
            panic!("{arguments:?}: {commands:?} in\n{summary}");
        };
        assert!(dashboard.starts_with("dashboard"));
        assert!(typed(here, alerts).contains("port scan"), "{alerts}");
        let why = typed(here, explain);
        assert!(
            why.starts_with("Flow ") && why.contains("anomalous"),
            "{explain}:\n{why}"
        );
    }
    for name in ["reports/report.html", "predictions.csv", "evidence"] {
        assert!(here.join("of/monday").join(name).exists(), "{name}");
    }
}

/// What another user's sensor keeps can be read, if not changed; what cannot be looked into is not said to be missing.
#[test]
#[cfg(target_os = "linux")]
fn a_store_that_is_not_ours_can_be_read() {
    use std::os::unix::{fs::PermissionsExt as _, process::CommandExt as _};
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    Scene::busy().write(here, "busy.pcap");
    stdout(here, &["run", "busy.pcap"]);
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let out = here.join("anomaly-out");
    let is_root =
        std::fs::metadata(here).is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0);
    let ask = |arguments: &[&str]| {
        let mut command = cli_support::program(here);
        command.args(arguments);
        if is_root {
            command.uid(65_534).gid(65_534);
        }
        command.output()
    };
    mode(here, 0o755);
    mode(&out, 0o555);
    let listed = ask(&["alerts", "list"]);
    let Ok(listed) = listed else {
        eprintln!("left out: another user may not run the program of this build");
        return;
    };
    let text = String::from_utf8_lossy(&listed.stdout);
    let said = String::from_utf8_lossy(&listed.stderr);
    assert!(text.contains("port scan"), "{text}{said}");
    let closed = ask(&["alerts", "close", "--severity", "low"]).expect("runs");
    assert_eq!(closed.status.code(), Some(77), "but not changed");
    mode(&out, 0o000);
    let asked = ask(&["alerts", "list"]).expect("runs");
    let said = String::from_utf8_lossy(&asked.stderr);
    assert_eq!(asked.status.code(), Some(77), "{said}");
    assert!(said.contains("no permission to look there"), "{said}");
    mode(&out, 0o755);
    let missing = run(here, &["alerts", "list", "--set", "output.folder=none"]);
    let said = String::from_utf8_lossy(&missing.stderr);
    assert_eq!(missing.status.code(), Some(66), "{said}");
}
