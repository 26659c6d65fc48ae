//! Real receivers: programs of other people that a test delivers to.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The program, or `None` after having said that the test is not run.
///
/// # Panics
/// Where `XTASK_RECEIVERS` is `demanded`: there it must be installed.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = folders
        .map(|folder| folder.join(name))
        .find(|path| is_program(path));
    if found.is_none() {
        let is_demanded = env::var("XTASK_RECEIVERS").is_ok_and(|value| value == "demanded");
        assert!(!is_demanded, "{name} is demanded and not installed");
        eprintln!("not run: no {name}");
    }
    found
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}
