//! `cargo xtask dist`: what is handed to people: Debian package, tar archive, bill of materials, checksums.
//!
//! Everything in it is made from one binary: it writes its own configuration, completions and manual pages. The same
//! binary and `SOURCE_DATE_EPOCH` give the same bytes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;
use sha2::{Digest as _, Sha256};

use crate::process::{Failure, cargo, find, root, run as run_program};

mod deb;
mod libraries;
mod licences;
mod metadata;
mod sbom;
mod tree;

use self::{metadata::Metadata, tree::Tree};

/// Options of `cargo xtask dist`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Package this binary, instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Folder for the results
    #[arg(long, value_name = "FOLDER", default_value = "target/dist")]
    output: PathBuf,
    /// Make only these
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Compress the Debian package little: for trying it
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Debian package
    Deb,
    /// tar archive, for other systems
    Tar,
    /// Bill of materials, CycloneDX
    Sbom,
}

/// What all parts are made from.
struct Product {
    version: String,
    /// Seconds since 1970 that all files are dated.
    epoch: u64,
    /// Files as they are installed.
    tree: Tree,
    /// C libraries, as dependencies of a Debian package.
    depends: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    needed()?;
    let wants = |part| args.only.is_empty() || args.only.contains(&part);
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => build()?,
    };
    let output = root().join(&args.output);
    fs::create_dir_all(&output).map_err(Failure::file(&output))?;
    let metadata = Metadata::read()?;
    let epoch = epoch()?;
    let bill = sbom::bill(&metadata, epoch)?;
    let work = output.join("work");
    empty(&work)?;
    let product = stage(&binary, &metadata, &bill, epoch, &work)?;
    let mut made = Vec::new();
    if wants(Part::Sbom) {
        let path = output.join(format!("anomaly-detect-{}.cdx.json", product.version));
        fs::write(&path, &bill).map_err(Failure::file(&path))?;
        made.push(path);
    }
    if wants(Part::Deb) {
        made.push(deb::build(&product, &work, &output, args.quick)?);
    }
    if wants(Part::Tar) {
        made.push(tar(&product, &work, &output)?);
    }
    fs::remove_dir_all(&work).map_err(Failure::file(&work))?;
    sums(&made, &output)
}

/// Builds the release binary.
fn build() -> Result<PathBuf, Failure> {
    run_program(cargo().args([
        "build",
        "--release",
        "--locked",
        "--package",
        "sensor",
        "--bin",
        "anomaly-detect",
    ]))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join("release/anomaly-detect"))
}

fn needed() -> Result<(), Failure> {
    let mut programs = Vec::new();
    let mut packages = Vec::new();
    for (program, package) in [
        ("dpkg-deb", "dpkg"),
        ("strip", "binutils"),
        ("objdump", "binutils"),
        ("gzip", "gzip"),
        ("tar", "tar"),
    ] {
        if find(program).is_none() {
            programs.push(program);
            if !packages.contains(&package) {
                packages.push(package);
            }
        }
    }
    if programs.is_empty() {
        Ok(())
    } else {
        Err(Failure::Missing { programs, packages })
    }
}

/// `SOURCE_DATE_EPOCH` (reproducible-builds.org), by default the time of the last commit.
fn epoch() -> Result<u64, Failure> {
    if let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") {
        return text.trim().parse().map_err(|_| {
            Failure::Unable(format!(
                "SOURCE_DATE_EPOCH={text}: not a number of seconds since 1970"
            ))
        });
    }
    let committed = Command::new("git")
        .args(["-c", "safe.directory=*", "log", "-1", "--format=%ct"])
        .current_dir(root())
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok());
    committed.ok_or_else(|| {
        Failure::Unable(
            "no date for the files: this is not a git checkout; set SOURCE_DATE_EPOCH".to_owned(),
        )
    })
}

/// Lays out what is installed.
fn stage(
    binary: &Path,
    metadata: &Metadata,
    bill: &[u8],
    epoch: u64,
    work: &Path,
) -> Result<Product, Failure> {
    let depends = libraries::depends(binary)?;
    let mut tree = Tree::default();
    let stripped = work.join("anomaly-detect");
    run_program(
        Command::new("strip")
            .arg("--strip-all")
            .arg("-o")
            .arg(&stripped)
            .arg(binary),
    )?;
    tree.add_file("usr/bin/anomaly-detect", 0o755, &stripped)?;
    tree.add_file(
        "usr/lib/systemd/system/anomaly-detect.service",
        0o644,
        &root().join("deploy/systemd/anomaly-detect.service"),
    )?;
    let own = |arguments: &[&str]| -> Result<Vec<u8>, Failure> {
        let mut command = Command::new(binary);
        // What the caller has set is not what a package says.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ANOMALY_DETECT_") {
                command.env_remove(name);
            }
        }
        let output = command
            .args(arguments)
            .output()
            .map_err(|source| Failure::Start {
                program: binary.display().to_string(),
                source,
            })?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(Failure::Check(format!(
                "{} {}: {}{}",
                binary.display(),
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )))
        }
    };
    let folder = "output.folder=/var/lib/anomaly-detect";
    let config = own(&["config", "dump", "--commented", "--set", folder])?;
    tree.add("etc/anomaly-detect/config.toml", 0o644, config);
    tree.add_folder("etc/anomaly-detect/conf.d");
    for (shell, path) in [
        (
            "bash",
            "usr/share/bash-completion/completions/anomaly-detect",
        ),
        ("zsh", "usr/share/zsh/vendor-completions/_anomaly-detect"),
        (
            "fish",
            "usr/share/fish/vendor_completions.d/anomaly-detect.fish",
        ),
    ] {
        tree.add(path, 0o644, own(&["completions", shell])?);
    }
    let pages = work.join("man");
    own(&["man", "--output", &pages.to_string_lossy()])?;
    for page in files(&pages)? {
        let name = page.file_name().unwrap_or_default().to_string_lossy();
        let zipped = gzip(&page)?;
        tree.add(&format!("usr/share/man/man1/{name}.gz"), 0o644, zipped);
    }
    let documents = "usr/share/doc/anomaly-detect";
    for page in files(&root().join("docs"))? {
        let name = page.file_name().unwrap_or_default().to_string_lossy();
        tree.add_file(&format!("{documents}/{name}"), 0o644, &page)?;
    }
    for name in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        tree.add_file(&format!("{documents}/{name}"), 0o644, &root().join(name))?;
    }
    let changes = gzip(&root().join("CHANGELOG.md"))?;
    tree.add(&format!("{documents}/changelog.gz"), 0o644, changes);
    tree.add(&format!("{documents}/sbom.cdx.json"), 0o644, bill.to_vec());
    let notices = work.join("THIRD-PARTY.txt");
    fs::write(&notices, licences::notices(metadata)?).map_err(Failure::file(&notices))?;
    let notices = gzip(&notices)?;
    tree.add(&format!("{documents}/THIRD-PARTY.txt.gz"), 0o644, notices);
    // Rules, boards and manifests to copy from; those of the sensor's own service are installed already.
    for part in [
        "prometheus",
        "alertmanager",
        "grafana",
        "docker",
        "kubernetes",
    ] {
        let from = root().join("deploy").join(part);
        if from.is_dir() {
            tree.add_tree(&format!("usr/share/anomaly-detect/{part}"), &from)?;
        }
    }
    Ok(Product {
        version: metadata.version.clone(),
        epoch,
        tree,
        depends,
    })
}

/// An archive for systems without `dpkg`: unpacked in `/`, it is the same installation.
fn tar(product: &Product, work: &Path, output: &Path) -> Result<PathBuf, Failure> {
    let name = format!(
        "anomaly-detect-{}-{}-linux",
        product.version,
        std::env::consts::ARCH
    );
    let folder = work.join(&name);
    product.tree.write(&folder)?;
    let archive = output.join(format!("{name}.tar"));
    run_program(
        Command::new("tar")
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
            .arg(format!("--mtime=@{}", product.epoch))
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .arg(work)
            .arg(&name),
    )?;
    // Without the name and time that gzip would store.
    run_program(Command::new("gzip").args(["-n9f"]).arg(&archive))?;
    Ok(output.join(format!("{name}.tar.gz")))
}

/// Writes the checksums, in the form that `sha256sum -c` reads.
fn sums(made: &[PathBuf], output: &Path) -> Result<(), Failure> {
    let mut text = String::new();
    for path in made {
        let bytes = fs::read(path).map_err(Failure::file(path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        text.push_str(&format!(
            "{}  {name}\n",
            hexadecimal(&Sha256::digest(&bytes))
        ));
        println!("{}  {} KB", path.display(), bytes.len().div_ceil(1000));
    }
    let path = output.join("SHA256SUMS");
    fs::write(&path, text).map_err(Failure::file(&path))?;
    println!("{}", path.display());
    Ok(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `gzip` makes of a file, the same each time.
fn gzip(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut command = Command::new("gzip");
    command.args(["-n9c"]).arg(path);
    let output = command.output().map_err(|source| Failure::Start {
        program: "gzip".to_owned(),
        source,
    })?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Failure::Check(format!(
            "gzip {}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr)
        )))
    }
}

/// Files of a folder by name, those of its folders left out.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::file(folder))? {
        let path = entry.map_err(Failure::file(folder))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Makes a folder, empty.
fn empty(folder: &Path) -> Result<(), Failure> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Failure::file(folder))?;
    }
    fs::create_dir_all(folder).map_err(Failure::file(folder))
}
