//! Bad input, each as a user meets it: one clear line that says what and where, and the right exit code.

mod cli_support;
#[path = "cli_support/foreign.rs"]
mod foreign;
#[path = "cli_support/scene.rs"]
mod scene;

use std::{
    fs,
    io::Read as _,
    net::TcpListener,
    path::Path,
    process::{Output, Stdio},
};

use cli_support::{program, run, stdout};
use scene::Scene;

/// Exit code, and the one line on standard error.
fn fault(output: &Output) -> (i32, String) {
    let text = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "one line, not: {text}");
    (
        output.status.code().expect("no signal"),
        text.trim().to_owned(),
    )
}

fn expect(folder: &Path, arguments: &[&str], code: i32, parts: &[&str]) {
    let (found, line) = fault(&run(folder, arguments));
    assert_eq!(found, code, "{arguments:?}: {line}");
    assert!(line.starts_with("anomaly-detect: "), "{line}");
    for part in parts {
        assert!(line.contains(part), "{arguments:?}: no `{part}` in: {line}");
    }
}

#[test]
fn inputs_that_are_not_there_or_not_captures() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    fs::write(here.join("notes.txt"), "just some text\n").expect("file");
    fs::write(here.join("nothing.pcap"), "").expect("file");
    for command in ["run", "pcap", "train"] {
        expect(
            here,
            &[command, "missing.pcap"],
            66,
            &["missing.pcap", "no such file"],
        );
        expect(
            here,
            &[command, "notes.txt"],
            66,
            &["notes.txt", "not a capture"],
        );
        expect(
            here,
            &[command, "nothing.pcap"],
            66,
            &["nothing.pcap", "empty"],
        );
    }
    expect(here, &["run", "."], 66, &["nothing.pcap"]);
    expect(here, &["run", "-"], 66, &["standard input", "empty"]);
    assert!(
        !here.join("anomaly-out/predictions.csv").exists(),
        "nothing was touched"
    );
}

#[test]
fn a_truncated_capture_is_used_and_the_loss_is_stated() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    let path = Scene::busy().write(here, "office.pcap");
    let whole = fs::read(&path).expect("capture");
    fs::write(here.join("cut.pcap"), &whole[..whole.len() / 2]).expect("capture");
    let output = run(here, &["pcap", "cut.pcap", "-o", "-"]);
    let (code, line) = fault(&output);
    assert_eq!(code, 0);
    assert!(line.contains("cut.pcap: damaged at byte"), "{line}");
    let flows = String::from_utf8_lossy(&output.stdout).lines().count();
    assert!((200..700).contains(&flows), "some of 961 flows: {flows}");
}

#[test]
fn configuration_faults_name_key_line_and_nearest() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    fs::write(here.join("s.toml"), "[flow]\nidle_timeuot = \"60s\"\n").expect("file");
    let parts = [
        "s.toml:2",
        "`flow.idle_timeuot`",
        "did you mean `flow.idle_timeout`?",
    ];
    expect(here, &["config", "check", "s.toml"], 78, &parts);
    expect(here, &["run", "-c", "s.toml", "x.pcap"], 78, &parts);
    fs::write(here.join("s.toml"), "[flow]\nidle_timeout = \"soon\"\n").expect("file");
    expect(
        here,
        &["config", "check", "s.toml"],
        78,
        &["s.toml:2: flow.idle_timeout: `soon`"],
    );
    expect(here, &["config", "check", "none.toml"], 78, &["none.toml"]);
    let output = program(here)
        .args(["config", "check"])
        .env("ANOMALY_DETECT_MODEL_TRESE", "3")
        .output()
        .expect("runs");
    let (code, line) = fault(&output);
    assert_eq!(code, 78);
    assert!(line.contains("ANOMALY_DETECT_MODEL_TREES"), "{line}");
    expect(
        here,
        &["run", "--idle-timeout", "soon", "x.pcap"],
        2,
        &["--idle-timeout", "`soon`"],
    );
}

#[test]
fn later_layers_win() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    fs::create_dir(here.join("conf.d")).expect("folder");
    fs::write(
        here.join("s.toml"),
        "[model]\ntrees = 10\nseed = 10\nsubsample = 10\n",
    )
    .expect("file");
    fs::write(
        here.join("conf.d/1.toml"),
        "[model]\nseed = 20\nsubsample = 20\n",
    )
    .expect("file");
    let output = program(here)
        .args(["config", "dump", "s.toml", "--set", "model.threads=40"])
        .env("ANOMALY_DETECT_MODEL_SUBSAMPLE", "30")
        .output()
        .expect("runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for line in [
        "trees = 10  # s.toml:2",
        "seed = 20  # conf.d/1.toml:2",
        "subsample = 30  # environment ANOMALY_DETECT_MODEL_SUBSAMPLE",
        "threads = 40  # --set",
        "contamination = 0.01  # default",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "no `{line}` in\n{text}"
        );
    }
    fs::write(here.join("dumped.toml"), text).expect("file");
    let checked = stdout(here, &["config", "check", "dumped.toml"]);
    assert!(
        checked.starts_with("valid"),
        "a dump is a configuration: {checked}"
    );
}

#[test]
fn models_that_are_missing_damaged_or_of_another_schema() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    Scene::office().write(here, "office.pcap");
    expect(
        here,
        &["predict", "office.pcap"],
        66,
        &["no model in anomaly-out/model_outputs"],
    );
    expect(
        here,
        &["predict", "office.pcap", "-m", "none.model"],
        66,
        &["none.model", "no such model"],
    );
    stdout(here, &["train", "office.pcap", "-o", "good.model"]);
    let good = fs::read(here.join("good.model")).expect("model");
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(here.join("bad.model"), bad).expect("model");
    fs::write(here.join("cut.model"), &good[..middle]).expect("model");
    for file in ["bad.model", "cut.model"] {
        expect(
            here,
            &["predict", "office.pcap", "-m", file],
            1,
            &[file, "damaged"],
        );
    }
    fs::write(here.join("text.model"), "hello").expect("model");
    expect(
        here,
        &["predict", "office.pcap", "-m", "text.model"],
        1,
        &["text.model", "not a model"],
    );

    foreign::write_model(&here.join("other.model"));
    expect(
        here,
        &["predict", "office.pcap", "-m", "other.model"],
        1,
        &["other.model", "another schema", "`else"],
    );
    assert!(
        !here.join("anomaly-out/predictions.csv").exists(),
        "nothing was written"
    );
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    Scene::office().write(here, "office.pcap");
    fs::write(here.join("file"), "").expect("file");
    expect(
        here,
        &["pcap", "office.pcap", "-o", "file/x.csv"],
        1,
        &["file"],
    );
    if Path::new("/dev/full").exists() {
        expect(
            here,
            &["pcap", "office.pcap", "-o", "/dev/full"],
            1,
            &["/dev/full: no space left"],
        );
    }
}

/// A reader that has seen enough is no fault.
#[test]
#[cfg(unix)]
fn a_broken_pipe_is_quiet() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    Scene::office().write(here, "office.pcap");
    for arguments in [
        &["pcap", "office.pcap", "-o", "-", "-q"][..],
        &["run", "office.pcap", "-o", "-", "-q"],
    ] {
        let mut child = program(here)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        let mut start = [0; 64];
        let mut pipe = child.stdout.take().expect("pipe");
        pipe.read_exact(&mut start).expect("the header");
        drop(pipe);
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn live_without_interface_permission_or_port() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    expect(here, &["live"], 2, &["--iface"]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("port");
    let listen = format!("metrics.listen={}", taken.local_addr().expect("address"));
    expect(
        here,
        &["live", "-i", "lo", "--set", &listen],
        1,
        &["metrics: 127.0.0.1:", "metrics.listen="],
    );
    if cfg!(target_os = "linux") {
        let arguments = [
            "live",
            "-i",
            "nosuch0",
            "--capture",
            "xdp",
            "--set",
            "metrics.listen=",
        ];
        expect(
            here,
            &arguments,
            69,
            &["nosuch0", "does not exist; there are", "lo"],
        );
    }
}

/// As a user without privileges; only root can become one here.
#[test]
#[cfg(target_os = "linux")]
fn live_without_permission_names_the_capability() {
    use std::os::unix::process::CommandExt as _;
    let folder = tempfile::tempdir().expect("folder");
    let mut command = program(Path::new("/"));
    let own = fs::metadata(folder.path()).map(|found| std::os::unix::fs::MetadataExt::uid(&found));
    if own.is_ok_and(|uid| uid == 0) {
        command.uid(65_534).gid(65_534);
    }
    let output = command
        .args([
            "live",
            "-i",
            "lo",
            "--capture",
            "xdp",
            "--set",
            "metrics.listen=",
        ])
        .output();
    match output {
        Ok(output) => {
            let (code, line) = fault(&output);
            assert_eq!(code, 77, "{line}");
            assert!(
                line.contains("CAP_BPF") && line.contains("CAP_NET_ADMIN"),
                "{line}"
            );
        }
        // The program lies where that user may not go.
        Err(error) => eprintln!("not run: {error}"),
    }
}

#[test]
fn usage_is_explained() {
    let folder = tempfile::tempdir().expect("folder");
    let output = run(folder.path(), &["run"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("<CAPTURE>") && text.contains("--help"),
        "{text}"
    );
    let output = run(folder.path(), &["rum"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("'run'"));
}
