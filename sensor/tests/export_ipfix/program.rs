//! Programs of others that tests run against.

use std::{env, path::PathBuf};

/// Where a program is, or `None` after having said that the test is not run. Where the environment has
/// `XTASK_RECEIVERS=demanded`, as in CI, a program that is missing fails the test.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Daemons are not in everybody's path.
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        let demanded = env::var_os("XTASK_RECEIVERS").is_some_and(|value| value == "demanded");
        assert!(!demanded, "no {name}, and receivers are demanded");
        eprintln!("not run: no {name}");
    }
    found
}
