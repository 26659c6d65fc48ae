//! The package, made by `cargo xtask dist` from the program under test, and what is made of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::program;

/// Whether these programs are there; says which is not. Where all receivers are demanded, one that is missing is a fault.
pub(crate) fn has(programs: &[&str]) -> bool {
    programs.iter().all(|name| program::find(name).is_some())
}

/// Makes the package; answers its path.
pub(crate) fn package(output: &Path) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let made = Command::new(cargo)
        .args(["run", "--quiet", "--package", "xtask", "--", "dist"])
        .args(["--only", "deb,sbom", "--quick", "--binary"])
        .arg(env!("CARGO_BIN_EXE_anomaly-detect"))
        .arg("--output")
        .arg(output)
        // Not the date of the last commit: a source archive has none.
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .expect("cargo");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let is_package = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "deb");
    fs::read_dir(output)
        .expect("the output folder")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(is_package)
        .expect("a package")
}

#[test]
#[ignore = "kernel: needs root"]
fn it_is_the_same_each_time_and_lintian_is_content() {
    if !has(&["dpkg-deb", "strip", "objdump"]) {
        return;
    }
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let packages = folders.each_ref().map(|folder| package(folder.path()));
    let sums = folders
        .each_ref()
        .map(|folder| fs::read_to_string(folder.path().join("SHA256SUMS")).expect("sums"));
    assert_eq!(sums[0], sums[1], "two runs make the same bytes");
    assert_eq!(sums[0].lines().count(), 2, "{}", sums[0]);
    let checked = Command::new("sha256sum")
        .args(["--check", "--quiet", "SHA256SUMS"])
        .current_dir(folders[0].path())
        .status()
        .expect("sha256sum");
    assert!(checked.success());
    if !has(&["lintian"]) {
        return;
    }
    let lintian = Command::new("lintian")
        .args(["--allow-root", "--fail-on", "error,warning"])
        .arg(&packages[0])
        .output()
        .expect("lintian");
    assert!(
        lintian.status.success(),
        "{}",
        String::from_utf8_lossy(&lintian.stdout)
    );
}

#[test]
#[ignore = "kernel: needs root"]
fn the_unit_is_hardened() {
    if !has(&["systemd-analyze"]) {
        return;
    }
    /// Of ten; `systemd-analyze security` calls what is below "ok".
    const MOST: f64 = 3.0;
    let unit =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd/anomaly-detect.service");
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(unit)
        .output()
        .expect("systemd-analyze");
    let text = String::from_utf8_lossy(&output.stdout);
    let level: f64 = text
        .lines()
        .find_map(|line| line.split("exposure level for").nth(1))
        .and_then(|line| line.split_whitespace().find_map(|word| word.parse().ok()))
        .unwrap_or_else(|| panic!("no level in:\n{text}"));
    println!("exposure level {level}");
    assert!(level <= MOST, "exposure level {level}\n{text}");
}
