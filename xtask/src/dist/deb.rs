//! The Debian package, by `dpkg-deb` alone: what is installed is laid out already, and the scripts are small.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Product, gzip};
use crate::process::{Failure, root, run as run_program};

/// Of the package, after the version of the program.
const REVISION: u32 = 1;
const MAINTAINER: &str = "The anomaly-detect authors <anomaly-detect@localhost.localdomain>";
/// Maintainer scripts (Debian policy, chapter 6).
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Builds it; answers its path.
pub(super) fn build(
    product: &Product,
    work: &Path,
    output: &Path,
    quick: bool,
) -> Result<PathBuf, Failure> {
    let architecture = architecture()?;
    let version = format!("{}-{REVISION}", product.version);
    let folder = work.join("deb");
    product.tree.write(&folder)?;
    let documents = folder.join("usr/share/doc/anomaly-detect");
    let deploy = root().join("deploy/debian");
    let from = deploy.join("copyright");
    fs::copy(&from, documents.join("copyright")).map_err(Failure::file(&from))?;
    let changes = work.join("changelog.Debian");
    fs::write(&changes, changelog(&version, product.epoch)?).map_err(Failure::file(&changes))?;
    let path = documents.join("changelog.Debian.gz");
    fs::write(&path, gzip(&changes)?).map_err(Failure::file(&path))?;
    let overrides = folder.join("usr/share/lintian/overrides");
    fs::create_dir_all(&overrides).map_err(Failure::file(&overrides))?;
    let from = deploy.join("lintian-overrides");
    fs::copy(&from, overrides.join("anomaly-detect")).map_err(Failure::file(&from))?;

    let about = folder.join("DEBIAN");
    fs::create_dir_all(&about).map_err(Failure::file(&about))?;
    let write = |name: &str, text: String| {
        let path = about.join(name);
        fs::write(&path, text).map_err(Failure::file(&path))
    };
    let kilobytes: usize = (product.tree.files())
        .map(|(_, content)| content.len().div_ceil(1024))
        .sum();
    let template = deploy.join("control");
    let control = fs::read_to_string(&template)
        .map_err(Failure::file(&template))?
        .replace("@VERSION@", &version)
        .replace("@ARCHITECTURE@", architecture)
        .replace("@MAINTAINER@", MAINTAINER)
        .replace("@KILOBYTES@", &kilobytes.to_string())
        .replace("@LIBRARIES@", &product.depends.join(", "));
    write("control", control)?;
    let configuration: String = (product.tree.paths())
        .filter(|path| path.starts_with("etc/"))
        .map(|path| format!("/{path}\n"))
        .collect();
    write("conffiles", configuration)?;
    write("md5sums", sums(&folder)?)?;
    for name in SCRIPTS {
        let from = deploy.join(name);
        let to = about.join(name);
        fs::copy(&from, &to).map_err(Failure::file(&from))?;
        executable(&to)?;
    }
    let package = output.join(format!("anomaly-detect_{version}_{architecture}.deb"));
    run_program(
        Command::new("dpkg-deb")
            .args([
                "--root-owner-group",
                "-Zxz",
                if quick { "-z0" } else { "-z9" },
                "--build",
            ])
            .arg(&folder)
            .arg(&package)
            // Files younger than this are dated so (dpkg-deb(1)).
            .env("SOURCE_DATE_EPOCH", product.epoch.to_string())
            .stdout(std::process::Stdio::null()),
    )?;
    Ok(package)
}

/// This machine's, as Debian names it.
fn architecture() -> Result<&'static str, Failure> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => Err(Failure::Unable(format!("no Debian package for {other}"))),
    }
}

/// Debian's own changelog: what has changed is told by the program's.
fn changelog(version: &str, epoch: u64) -> Result<String, Failure> {
    let seconds = i64::try_from(epoch).unwrap_or(i64::MAX);
    let date = jiff::Timestamp::from_second(seconds)
        .map_err(|error| Failure::Unable(format!("SOURCE_DATE_EPOCH={epoch}: {error}")))?
        .strftime("%a, %d %b %Y %H:%M:%S +0000")
        .to_string();
    Ok(format!(
        "anomaly-detect ({version}) unstable; urgency=medium\n\n  * Release; see changelog.gz.\n\n -- {MAINTAINER}  {date}\n"
    ))
}

/// Sums of all files but our own words about them, in the form of md5sum(1): it is what `dpkg --verify` reads.
fn sums(folder: &Path) -> Result<String, Failure> {
    let output = Command::new("sh")
        .args([
            "-c",
            "find . -type f ! -path './DEBIAN/*' -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 md5sum",
        ])
        .current_dir(folder)
        .output()
        .map_err(|source| Failure::Start {
            program: "sh".to_owned(),
            source,
        })?;
    if !output.status.success() {
        return Err(Failure::Check(format!(
            "md5sum: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )));
    }
    let mut text = String::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // A configuration file is verified by the conffiles of the package's state.
        if !line.contains("  etc/") {
            let _ = writeln!(text, "{line}");
        }
    }
    Ok(text)
}

#[cfg(unix)]
fn executable(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(Failure::file(path))
}

#[cfg(not(unix))]
fn executable(_path: &Path) -> Result<(), Failure> {
    Err(Failure::Unable("packages are made on Linux".to_owned()))
}
