//! Compiles the C programs beside this crate.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Compiles `bench/c/{name}.bpf.c` and gives the object.
pub(crate) fn compile(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.join("../target/bench-c");
    fs::create_dir_all(&folder)?;
    let object = folder.join(format!("{name}.bpf.o"));
    let status = Command::new("clang")
        .args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-c"])
        .arg(here.join(format!("c/{name}.bpf.c")))
        .arg("-o")
        .arg(&object)
        .status()
        .map_err(|error| {
            format!("clang: {error}; the programs in C cannot be compiled (apt-get install clang)")
        })?;
    if !status.success() {
        return Err(format!("clang could not compile bench/c/{name}.bpf.c").into());
    }
    Ok(object)
}
