//! `cargo xtask build-ebpf`: compiles the BPF programs and writes the object, its disassembly and where it came from to
//! `sensor-ebpf/objects/`; with `--check` (gate B) compares instead, byte for byte.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::process::{Failure, root, run as run_program};

mod digest;
mod toolchain;

use toolchain::{TARGET, Toolchain};

const OBJECT: &str = "flow-monitor.bpf.o";
const DISASSEMBLY: &str = "flow-monitor.disassembly.txt";
const PROVENANCE: &str = "provenance.toml";

/// Lines of a difference that are printed.
const DIFFERENCE_LINES: usize = 60;

/// Options of `cargo xtask build-ebpf`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Compare with the committed object instead of replacing it
    #[arg(long)]
    check: bool,
}

/// Builds, or with `--check` compares.
pub(crate) fn run(args: &Args) -> ExitCode {
    match if args.check { check() } else { build() } {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Why the object cannot be rebuilt here, for `cargo xtask test`; `None` when it can.
pub(crate) fn missing_toolchain() -> Option<String> {
    Toolchain::find(None).err().map(|failure| {
        failure
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    })
}

/// Gate B: rebuilds and compares with the committed object.
pub(crate) fn check() -> Result<(), Failure> {
    let built = compile()?;
    let committed = read(&objects().join(OBJECT))?;
    if built.object == committed {
        println!("{OBJECT}: as committed, byte for byte ({})", built.tools());
        return Ok(());
    }
    let text = fs::read_to_string(objects().join(DISASSEMBLY))
        .map_err(Failure::file(&objects().join(DISASSEMBLY)))?;
    let provenance = fs::read_to_string(objects().join(PROVENANCE)).unwrap_or_default();
    let by = ["rustc", "bpf_linker"].map(|key| {
        provenance
            .lines()
            .find_map(|line| digest::quoted(line, key))
            .unwrap_or("unknown")
    });
    let mut message = format!(
        "{OBJECT} is not what the sources give.\n  committed: {}\n  built now: {}\n",
        by.join(", "),
        built.tools()
    );
    if text == built.disassembly {
        message.push_str("  The instructions are the same; type or line information differs.\n");
    } else {
        message.push_str(&difference(&text, &built.disassembly));
    }
    message.push_str(
        "  If the change is meant: cargo xtask build-ebpf, and commit sensor-ebpf/objects/.",
    );
    Err(Failure::Check(message))
}

/// Builds and writes.
fn build() -> Result<(), Failure> {
    let built = compile()?;
    let folder = objects();
    fs::create_dir_all(&folder).map_err(Failure::file(&folder))?;
    for (name, bytes) in [
        (OBJECT, built.object.as_slice()),
        (DISASSEMBLY, built.disassembly.as_bytes()),
        (PROVENANCE, built.provenance()?.as_bytes()),
    ] {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(Failure::file(&path))?;
    }
    println!("{OBJECT}: {} bytes, {}", built.object.len(), built.tools());
    Ok(())
}

/// What a build gives.
struct Built {
    object: Vec<u8>,
    disassembly: String,
    toolchain: Toolchain,
}

impl Built {
    fn tools(&self) -> String {
        format!("{}, {}", self.toolchain.rustc, self.toolchain.linker)
    }

    fn provenance(&self) -> Result<String, Failure> {
        let root = root();
        let sources = digest::sources(&root).map_err(Failure::file(&root.join("sensor-ebpf")))?;
        let dependencies =
            digest::dependencies(&root).map_err(Failure::file(&root.join("Cargo.lock")))?;
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, version)| format!("{name} = \"{version}\"\n"))
            .collect();
        Ok(format!(
            "# Where flow-monitor.bpf.o came from. Written by `cargo xtask build-ebpf`; compared by\n\
             # sensor-ebpf/tests/object.rs (gate A) and `cargo xtask build-ebpf --check` (gate B).\n\
             sources = \"{sources}\"\n\
             object = \"{}\"\n\
             rustc = \"{}\"\n\
             bpf_linker = \"{}\"\n\
             flags = \"{}\"\n\n[dependencies]\n{}",
            digest::sha256(&self.object),
            self.toolchain.rustc,
            self.toolchain.linker,
            digest::FLAGS.join(" "),
            dependencies.concat(),
        ))
    }
}

/// Compiles into `target/ebpf` and takes out what differs between machines or is of no use to the loader.
fn compile() -> Result<Built, Failure> {
    let root = root();
    let committed = fs::read_to_string(objects().join(PROVENANCE)).unwrap_or_default();
    let toolchain = Toolchain::find(
        committed
            .lines()
            .find_map(|line| digest::quoted(line, "rustc")),
    )?;
    let target = root.join("target/ebpf");
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(&root)
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--package",
            "sensor-ebpf",
            "--bin",
            "flow-monitor",
        ])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&target)
        .args(toolchain.arguments())
        .envs(digest::PROFILE)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&root).join("\x1f"));
    run_program(&mut cargo)?;

    let linked = target.join(TARGET).join("release/flow-monitor");
    let object = target.join(OBJECT);
    run_program(
        Command::new(&toolchain.objcopy)
            .arg("--strip-debug")
            .arg(&linked)
            .arg(&object),
    )?;
    let disassembly = Command::new(&toolchain.objdump)
        .args(["--disassemble", "--reloc", "--no-show-raw-insn", OBJECT])
        .current_dir(&target)
        .output()
        .map_err(|source| Failure::Start {
            program: "llvm-objdump".to_owned(),
            source,
        })?;
    Ok(Built {
        object: read(&object)?,
        disassembly: String::from_utf8_lossy(&disassembly.stdout).into_owned(),
        toolchain,
    })
}

/// The flags that decide the object, and those that keep this machine's folders out of it.
fn flags(root: &Path) -> Vec<String> {
    let mut flags: Vec<String> = digest::FLAGS.map(str::to_owned).into();
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    if let Some(home) = home {
        flags.push(format!("--remap-path-prefix={}=cargo", home.display()));
    }
    flags.push(format!("--remap-path-prefix={}=.", root.display()));
    flags
}

/// The lines between the common beginning and the common end of two texts.
fn difference(committed: &str, built: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (committed.lines().collect(), built.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..]
        .iter()
        .rev()
        .zip(new[head..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (old, new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut text = format!("  from line {} of {DISASSEMBLY}:\n", head + 1);
    for (sign, lines) in [('-', old), ('+', new)] {
        for line in lines.iter().take(DIFFERENCE_LINES / 2) {
            text.push_str(&format!("  {sign}{line}\n"));
        }
        if lines.len() > DIFFERENCE_LINES / 2 {
            text.push_str(&format!("  {sign} ... {} lines in all\n", lines.len()));
        }
    }
    text
}

fn objects() -> PathBuf {
    root().join("sensor-ebpf/objects")
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(Failure::file(path))
}
