//! Lines of a file, compressed or not; none longer than a bound, and damage is where the lines end.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

/// Longest line believed, in bytes. Writers have no bound: a Zeek entry of a thousand tunnel parents has 20 kB, a Windows event
/// with a script in it 64 kB.
pub(crate) const LINE_MAX_BYTES: usize = 1 << 20;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What became of the next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It is in the buffer, without its end; `ended` says whether it had one.
    Read { ended: bool },
    /// It was longer than [`LINE_MAX_BYTES`] and is skipped.
    TooLong,
    /// There is none.
    End,
    /// The rest cannot be decompressed: a file cut short, or damaged.
    Damaged,
}

/// The lines of one file.
pub(crate) struct Lines {
    from: BufReader<Box<dyn Read + Send>>,
    compressed: bool,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines")
            .field("compressed", &self.compressed)
            .finish_non_exhaustive()
    }
}

impl Lines {
    /// Opens a file, plain, gzip or zstd by its first bytes.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::of(File::open(path)?)
    }

    /// Reads from anything.
    pub(crate) fn of(from: impl Read + Send + 'static) -> io::Result<Self> {
        let mut from = BufReader::with_capacity(1 << 16, from);
        let start = from.fill_buf()?;
        let (gzip, zstd) = (start.starts_with(&GZIP), start.starts_with(&ZSTD));
        let from: Box<dyn Read + Send> = if gzip {
            Box::new(MultiGzDecoder::new(from))
        } else if zstd {
            match StreamingDecoder::new(from) {
                Ok(decoder) => Box::new(decoder),
                // The frame header is cut: a file without a line, and damaged.
                Err(_) => Box::new(Unreadable),
            }
        } else {
            Box::new(from)
        };
        Ok(Self {
            from: BufReader::with_capacity(1 << 16, from),
            compressed: gzip || zstd,
            buffer: Vec::new(),
        })
    }

    /// Reads the next line into the buffer.
    pub(crate) fn advance(&mut self) -> io::Result<Line> {
        self.buffer.clear();
        let bound = LINE_MAX_BYTES as u64 + 1;
        let read = (&mut self.from)
            .take(bound)
            .read_until(b'\n', &mut self.buffer);
        match read {
            Ok(0) => return Ok(Line::End),
            Ok(_) => {}
            // What was decompressed of a line whose rest is lost is no line.
            Err(error) if self.compressed && is_damage(&error) => return Ok(Line::Damaged),
            Err(error) => return Err(error),
        }
        let ended = self.buffer.last() == Some(&b'\n');
        if !ended && self.buffer.len() > LINE_MAX_BYTES {
            return self.skip();
        }
        if ended {
            self.buffer.pop();
            if self.buffer.last() == Some(&b'\r') {
                self.buffer.pop();
            }
        }
        Ok(Line::Read { ended })
    }

    /// Skips to the end of a line that is too long, without holding it.
    fn skip(&mut self) -> io::Result<Line> {
        loop {
            let part = match self.from.fill_buf() {
                Ok(part) => part,
                Err(error) if self.compressed && is_damage(&error) => return Ok(Line::Damaged),
                Err(error) => return Err(error),
            };
            if part.is_empty() {
                return Ok(Line::TooLong);
            }
            let end = part.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(part.len(), |at| at + 1);
            self.from.consume(used);
            if end.is_some() {
                return Ok(Line::TooLong);
            }
        }
    }

    /// The line read last. Give the memory back with [`Self::reuse`].
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Takes memory to read the next line into.
    pub(crate) fn reuse(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }
}

/// Whether an error speaks of the data, not of the disk.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::Other
    )
}

/// A stream of which nothing can be decompressed.
struct Unreadable;

impl Read for Unreadable {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::InvalidData.into())
    }
}
