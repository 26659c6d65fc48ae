//! A folder of files that must not grow for ever.

use std::{fs, io, path::Path};

/// Removes the oldest of the files so named (names are in order of time) until the others have at most so many bytes; 0 keeps
/// all, and the newest always stays.
///
/// # Errors
/// What the system says.
pub fn newest(folder: &Path, prefix: &str, suffix: &str, keep_bytes: u64) -> io::Result<()> {
    if keep_bytes == 0 {
        return Ok(());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix)
            && name.ends_with(suffix)
            && name.len() > prefix.len() + suffix.len()
        {
            files.push((name, entry.metadata()?.len()));
        }
    }
    files.sort_unstable();
    let mut sum = 0;
    for (at, (name, bytes)) in files.iter().rev().enumerate() {
        sum += bytes;
        if sum > keep_bytes && at > 0 {
            fs::remove_file(folder.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a-1.x", "a-2.x", "a-3.x", "a-4.y", "b-1.x", "a-.x"] {
            fs::write(folder.path().join(name), [0; 100]).expect("a file");
        }
        let names = || {
            let entries = fs::read_dir(folder.path()).expect("a folder");
            let mut names: Vec<_> = entries
                .map(|entry| {
                    entry
                        .expect("an entry")
                        .file_name()
                        .into_string()
                        .expect("a name")
                })
                .collect();
            names.sort();
            names.join(" ")
        };
        newest(folder.path(), "a-", ".x", 0).expect("kept");
        newest(folder.path(), "a-", ".x", 300).expect("kept");
        assert_eq!(names(), "a-.x a-1.x a-2.x a-3.x a-4.y b-1.x");
        newest(folder.path(), "a-", ".x", 299).expect("kept");
        assert_eq!(names(), "a-.x a-2.x a-3.x a-4.y b-1.x");
        newest(folder.path(), "a-", ".x", 1).expect("kept");
        assert_eq!(names(), "a-.x a-3.x a-4.y b-1.x", "the newest stays");
    }
}
