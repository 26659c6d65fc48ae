//! Libraries of others that read what we write.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// A Python that has these modules, or `None` after having said that the test is not run: the one that `XTASK_PYTHON` names (of
/// a virtual environment), the first in the path, or the system's.
///
/// # Panics
/// Where `XTASK_PYTHON` is set, it must have them.
pub(crate) fn with(modules: &[&str]) -> Option<PathBuf> {
    let named = env::var_os("XTASK_PYTHON").map(PathBuf::from);
    let import = format!("import {}", modules.join(", "));
    let has = |python: &PathBuf| {
        Command::new(python)
            .args(["-c", &import])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let usual = ["python3", "/usr/bin/python3"].map(PathBuf::from);
    let is_demanded = named.is_some();
    let found = named.into_iter().chain(usual).find(has);
    if found.is_none() {
        let what = modules.join(", ");
        assert!(!is_demanded, "the Python of XTASK_PYTHON has no {what}");
        eprintln!("not run: no Python with {what}");
    }
    found
}

/// What a program in Python prints; it must end well.
pub(crate) fn run(python: &Path, program: &str, arguments: &[&Path]) -> String {
    let output = Command::new(python)
        .arg("-c")
        .arg(program)
        .args(arguments)
        .output()
        .expect("Python runs");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}
