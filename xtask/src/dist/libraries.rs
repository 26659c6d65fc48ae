//! Which C libraries a binary wants of the machine, as Debian names them.

use std::{path::Path, process::Command};

use crate::process::Failure;

/// `libc6 (>= 2.34), libgcc-s1 (>= 4.2)` of a binary. A library that we do not know is refused: the product uses none
/// but those that Rust itself needs.
pub(super) fn depends(binary: &Path) -> Result<Vec<String>, Failure> {
    let output = Command::new("objdump")
        .arg("-p")
        .arg(binary)
        .output()
        .map_err(|source| Failure::Start {
            program: "objdump".to_owned(),
            source,
        })?;
    if !output.status.success() {
        return Err(Failure::Check(format!(
            "{}: {}",
            binary.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        )));
    }
    read(&String::from_utf8_lossy(&output.stdout))
}

fn read(text: &str) -> Result<Vec<String>, Failure> {
    let mut libc = None;
    let mut gcc = None;
    for line in text.lines() {
        if let Some(name) = line.trim().strip_prefix("NEEDED") {
            let name = name.trim();
            let is_libc = [
                "libc.so.",
                "libm.so.",
                "libdl.so.",
                "libpthread.so.",
                "librt.so.",
                "ld-linux",
            ]
            .iter()
            .any(|known| name.starts_with(known));
            if is_libc {
                libc.get_or_insert((0, 0));
            } else if name.starts_with("libgcc_s.so.") {
                gcc.get_or_insert((0, 0));
            } else {
                return Err(Failure::Check(format!(
                    "the binary wants {name} of the machine; packages are made of the default build, which wants none"
                )));
            }
        }
        for word in line.split_whitespace() {
            let (which, version) = match word.split_once('_') {
                Some(("GLIBC", version)) => (&mut libc, version),
                Some(("GCC", version)) => (&mut gcc, version),
                _ => continue,
            };
            let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
            let version: (u32, u32) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
            *which = (*which).max(Some(version));
        }
    }
    let mut depends = Vec::new();
    for (package, version) in [("libc6", libc), ("libgcc-s1", gcc)] {
        if let Some((major, minor)) = version {
            depends.push(if (major, minor) == (0, 0) {
                package.to_owned()
            } else {
                format!("{package} (>= {major}.{minor})")
            });
        }
    }
    Ok(depends)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
Dynamic Section:
  NEEDED               libgcc_s.so.1
  NEEDED               libc.so.6
  INIT                 0x1000

Version References:
  required from libgcc_s.so.1:
    0x0b792650 0x00 11 GCC_3.0
    0x0d696914 0x00 10 GCC_4.2.0
  required from libc.so.6:
    0x09691a75 0x00 12 GLIBC_2.2.5
    0x069691b4 0x00 02 GLIBC_2.34
    0x09691974 0x00 09 GLIBC_2.3.4
";

    #[test]
    fn the_newest_version_of_each_counts() {
        assert_eq!(
            read(TEXT).expect("known libraries"),
            ["libc6 (>= 2.34)", "libgcc-s1 (>= 4.2)"]
        );
    }

    #[test]
    fn an_unknown_library_is_refused() {
        let text = TEXT.replace("libgcc_s.so.1", "libpcap.so.0.8");
        let said = read(&text).expect_err("not ours").to_string();
        assert!(said.contains("libpcap.so.0.8"), "{said}");
    }
}
