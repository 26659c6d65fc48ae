//! The notices that licences of dependencies ask to be handed on with a binary.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use super::{files, metadata::Metadata};
use crate::process::Failure;

/// Each licence text once, with the packages it came with; and what has none with the name of its licence.
pub(super) fn notices(metadata: &Metadata) -> Result<String, Failure> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut named = String::new();
    for package in metadata.packages.values() {
        if !package.is_linked || package.is_ours() {
            continue;
        }
        let name = format!("{} {}", package.name, package.version);
        let licence = package.licence.as_deref().unwrap_or("see its text");
        let _ = writeln!(named, "  {name}: {licence}");
        for path in files(&package.folder)? {
            let file = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .to_ascii_uppercase();
            let is_notice = [
                "LICENSE",
                "LICENCE",
                "COPYING",
                "COPYRIGHT",
                "NOTICE",
                "UNLICENSE",
            ]
            .iter()
            .any(|begin| file.starts_with(begin));
            if is_notice {
                let text = fs::read(&path).map_err(Failure::file(&path))?;
                let text = String::from_utf8_lossy(&text).replace('\r', "");
                let of = texts.entry(text.trim().to_owned()).or_default();
                if !of.contains(&name) {
                    of.push(name.clone());
                }
            }
        }
    }
    let mut all = format!(
        "The program contains code of these packages, under these licences:\n\n{named}\n\
         and SQLite, which is in the public domain.\n"
    );
    for (text, packages) in &texts {
        let _ = write!(
            all,
            "\n{}\n{}\n\n{text}\n",
            "=".repeat(78),
            packages.join(", ")
        );
    }
    Ok(all)
}
