//! What identifies a log: its content, whatever it is called and however it is compressed.

use std::{
    io::{self},
    path::Path,
};

use sha2::{Digest, Sha256};

use crate::lines::{Line, Lines};

/// Content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// SHA-256 over its lines, decompressed, in hexadecimal.
    pub digest: String,
    /// Decompressed bytes.
    pub length_bytes: u64,
    /// Whether it can be decompressed to its end and the last line has an end: if not, it may still be being written.
    pub whole: bool,
}

/// Reads a file through.
///
/// # Errors
/// What the system says.
pub fn content(path: &Path) -> io::Result<Content> {
    let mut lines = Lines::open(path)?;
    let mut hash = Sha256::new();
    let (mut length_bytes, mut whole) = (0, true);
    loop {
        match lines.advance()? {
            Line::End => break,
            Line::Damaged => {
                whole = false;
                break;
            }
            Line::TooLong => hash.update(b"\0too long\n"),
            Line::Read { ended } => {
                let bytes = lines.take();
                hash.update(&bytes);
                hash.update(b"\n");
                length_bytes += bytes.len() as u64 + u64::from(ended);
                whole = ended;
                lines.reuse(bytes);
            }
        }
    }
    let digest = hash.finalize();
    Ok(Content {
        digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        length_bytes,
        whole,
    })
}
