//! Finds what can compile for `bpfel-unknown-none`: a rustup nightly with `rust-src`, or a system `rustc` that comes with
//! `core` for BPF.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::{Failure, find};

/// The target of the BPF programs. All machines the sensor supports are little-endian.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// What to install where nothing is found.
const RECIPE: &str = "\
no toolchain for the BPF target (building the product does not need one; changing the BPF programs does).
Either, with rustup:
  rustup toolchain install nightly --component rust-src
  cargo install bpf-linker --version 0.13.0        # with LLVM as its manual says
or, on Debian:
  apt-get install rustc-web cargo-web libstd-rust-web-dev-bpf llvm-22 llvm-22-dev libpolly-22-dev libzstd-dev zlib1g-dev
  LLVM_PREFIX=/usr/lib/llvm-22 PATH=/usr/lib/llvm-22/bin:$PATH cargo install bpf-linker --version 0.13.0 \\
    --no-default-features --features llvm-22";

/// A compiler with everything around it.
pub(crate) struct Toolchain {
    kind: Kind,
    /// `rustc --version`.
    pub(crate) rustc: String,
    /// `bpf-linker --version`.
    pub(crate) linker: String,
    /// Folder of `bpf-linker`.
    linker_folder: PathBuf,
    pub(crate) objcopy: PathBuf,
    pub(crate) objdump: PathBuf,
}

enum Kind {
    /// rustup's, `core` built from source.
    Nightly,
    /// Folder of a `rustc` and `cargo` that have `core` for BPF compiled.
    System(PathBuf),
}

impl Toolchain {
    /// The toolchain that made the committed object if it is here (`wanted` is its `rustc --version`), else the first found.
    pub(crate) fn find(wanted: Option<&str>) -> Result<Self, Failure> {
        let home = env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
        let linker = find("bpf-linker").or_else(|| {
            home.map(|home| home.join("bin/bpf-linker"))
                .filter(|file| file.is_file())
        });
        let Some(linker) = linker else {
            return Err(Failure::Unable(format!(
                "bpf-linker is not installed; {RECIPE}"
            )));
        };
        let mut kinds = nightly();
        kinds.extend(system());
        let preferred = kinds
            .iter()
            .position(|(_, rustc)| Some(rustc.as_str()) == wanted);
        if kinds.is_empty() {
            return Err(Failure::Unable(RECIPE.to_owned()));
        }
        let (kind, rustc) = kinds.swap_remove(preferred.unwrap_or(0));
        Ok(Self {
            kind,
            rustc,
            linker: output(Command::new(&linker).arg("--version")).unwrap_or_default(),
            linker_folder: linker.parent().unwrap_or(Path::new("/")).to_path_buf(),
            objcopy: llvm("llvm-objcopy")?,
            objdump: llvm("llvm-objdump")?,
        })
    }

    /// `cargo`, with the environment that makes it use this toolchain and no other.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = match &self.kind {
            Kind::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "cargo"]);
                command
            }
            Kind::System(folder) => Command::new(folder.join("cargo")),
        };
        for name in [
            "CARGO",
            "RUSTC",
            "RUSTUP_TOOLCHAIN",
            "RUSTFLAGS",
            "CARGO_BUILD_TARGET",
        ] {
            command.env_remove(name);
        }
        let mut path = vec![self.linker_folder.clone()];
        if let Kind::System(folder) = &self.kind {
            // Features of the language that BPF needs are unstable; a stable compiler wants to be told.
            command
                .env("RUSTC", folder.join("rustc"))
                .env("RUSTC_BOOTSTRAP", "1");
            path.insert(0, folder.clone());
        }
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        if let Ok(path) = env::join_paths(path) {
            command.env("PATH", path);
        }
        command
    }

    /// Arguments of `cargo build` that only this toolchain needs.
    pub(crate) const fn arguments(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Nightly => &["-Z", "build-std=core"],
            Kind::System(_) => &[],
        }
    }
}

fn nightly() -> Vec<(Kind, String)> {
    let rustc = |arguments: &[&str]| {
        output(
            Command::new("rustup")
                .args(["run", "nightly", "rustc"])
                .args(arguments),
        )
    };
    let Some(sysroot) = rustc(&["--print", "sysroot"]) else {
        return Vec::new();
    };
    if !Path::new(&sysroot)
        .join("lib/rustlib/src/rust/library/core")
        .is_dir()
    {
        return Vec::new();
    }
    rustc(&["--version"])
        .map(|version| (Kind::Nightly, version))
        .into_iter()
        .collect()
}

fn system() -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    for folder in ["/usr/bin", "/usr/local/bin"].map(PathBuf::from) {
        let rustc = |arguments: &[&str]| output(Command::new(folder.join("rustc")).args(arguments));
        let Some(libraries) = rustc(&["--print", "target-libdir", "--target", TARGET]) else {
            continue;
        };
        let has_core = Path::new(&libraries).read_dir().is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
        });
        if has_core
            && folder.join("cargo").is_file()
            && let Some(version) = rustc(&["--version"])
        {
            found.push((Kind::System(folder), version));
        }
    }
    found
}

/// An LLVM tool that knows BPF: the newest installed.
fn llvm(tool: &'static str) -> Result<PathBuf, Failure> {
    let versioned = (18..=30)
        .rev()
        .map(|version| PathBuf::from(format!("/usr/lib/llvm-{version}/bin/{tool}")))
        .find(|file| file.is_file());
    versioned
        .or_else(|| find(tool))
        .ok_or_else(|| Failure::Missing {
            programs: vec![tool],
            packages: vec!["llvm-22"],
        })
}

/// First line of what a program prints, if it succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()
        .map(|line| line.trim().to_owned())
}
