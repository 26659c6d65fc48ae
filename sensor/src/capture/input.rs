//! Opens capture files: paths, folders and standard input, plain or compressed. What a file is, its first bytes
//! say, not its name.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::{
    CaptureError,
    blocks::Blocks,
    container::{Container, Record, Unreadable},
    whole_blocks::WholeBlocks,
};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// How deep compression may be nested: a `.pcap.gz` is 1.
const NESTING_MAX: usize = 2;
/// Endings a folder is searched for.
const ENDINGS: [&str; 6] = [".pcap", ".pcapng", ".cap", ".dmp", ".pcap0", ".trace"];
const COMPRESSED_ENDINGS: [&str; 2] = [".gz", ".zst"];

/// The capture files that `inputs` name: files and `-` as they are, folders by the captures in them (sorted by
/// name, not searched further down).
///
/// # Errors
/// A folder that cannot be read or holds no capture, a path that does not exist.
pub fn expand(inputs: &[PathBuf]) -> Result<Vec<PathBuf>, CaptureError> {
    let mut files = Vec::new();
    for input in inputs {
        if is_standard_input(input) || !input.is_dir() {
            files.push(input.clone());
            continue;
        }
        let failed = |source| CaptureError::Io {
            path: input.display().to_string(),
            source,
        };
        let mut found = Vec::new();
        for entry in input.read_dir().map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_file() && has_capture_ending(&path) {
                found.push(path);
            }
        }
        if found.is_empty() {
            return Err(CaptureError::NoCaptures {
                path: input.display().to_string(),
            });
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

/// Whether a path means standard input.
pub fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn has_capture_ending(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let name = COMPRESSED_ENDINGS
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(&name);
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Hands every frame of one capture to `each`, in file order: for whoever wants frames and not flows.
///
/// # Errors
/// As [`super::replay::Replay::open`]. Damage behind the first frame ends the capture and is no error.
pub fn frames(path: &Path, mut each: impl FnMut(&Record<'_>)) -> Result<(), CaptureError> {
    let ran = open(path)?.run(|record| {
        each(record);
        true
    });
    ran.map_err(|source| CaptureError::Io {
        path: path.display().to_string(),
        source,
    })
}

/// Opens one capture, looking through compression.
pub(super) fn open(path: &Path) -> Result<Container, CaptureError> {
    let name = path.display().to_string();
    let failed = |source: io::Error| match source.kind() {
        // What the decoders say of a damaged stream.
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::Other => CaptureError::Damaged {
            path: name.clone(),
            what: source.to_string(),
        },
        _ => CaptureError::Io {
            path: name.clone(),
            source,
        },
    };
    let source: Box<dyn Read + Send> = if is_standard_input(path) {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let source = decompress(source, NESTING_MAX).map_err(failed)?;
    Container::open(Blocks::new(source)).map_err(|unreadable| match unreadable {
        Unreadable::Io(error) => failed(error),
        Unreadable::Empty => CaptureError::Empty { path: name.clone() },
        Unreadable::NotACapture(start) => CaptureError::NotACapture {
            path: name.clone(),
            looks_like: looks_like(start),
        },
        Unreadable::Damage(damage) => CaptureError::Damaged {
            path: name.clone(),
            what: damage.to_string(),
        },
    })
}

fn decompress(source: Box<dyn Read + Send>, nesting: usize) -> io::Result<Box<dyn Read + Send>> {
    let mut source = BufReader::with_capacity(64 << 10, source);
    let start = source.fill_buf()?;
    if nesting == 0 {
        Ok(Box::new(source))
    } else if start.starts_with(&GZIP_MAGIC) {
        decompress(
            Box::new(flate2::bufread::MultiGzDecoder::new(source)),
            nesting - 1,
        )
    } else if start.starts_with(&ZSTD_MAGIC) || matches!(start, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
    {
        decompress(
            Box::new(ZstdFrames {
                source: Some(source),
                frame: None,
            }),
            nesting - 1,
        )
    } else {
        Ok(Box::new(source))
    }
}

/// All frames of a zstd stream, one after the other (RFC 8878 §3: concatenated frames decompress to the
/// concatenation of their contents).
struct ZstdFrames<R: BufRead> {
    source: Option<R>,
    frame: Option<StreamingDecoder<WholeBlocks<R>, FrameDecoder>>,
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(mut frame) = self.frame.take() {
                let read = frame.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    self.frame = Some(frame);
                    return Ok(read);
                }
                let (source, is_cut) = frame.into_inner().into_inner();
                if is_cut {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "zstd: the stream ends inside a frame",
                    ));
                }
                self.source = Some(source);
            }
            let Some(mut source) = self.source.take() else {
                return Ok(0);
            };
            if source.fill_buf()?.is_empty() {
                self.source = Some(source);
                return Ok(0);
            }
            if let Some(length) = skippable(&mut source)? {
                io::copy(&mut (&mut source).take(length), &mut io::sink())?;
                self.source = Some(source);
                continue;
            }
            self.frame = Some(StreamingDecoder::new(WholeBlocks::new(source)).map_err(
                |error| io::Error::new(io::ErrorKind::InvalidData, format!("zstd: {error}")),
            )?);
        }
    }
}

/// Length of the skippable frame (RFC 8878 §3.1.2) that begins here, its header already left behind; `None` where
/// the next frame is no such. Parallel compressors write them.
fn skippable(source: &mut impl BufRead) -> io::Result<Option<u64>> {
    let start = source.fill_buf()?;
    // The magic numbers are 0x184D2A50 to 0x184D2A5F. A buffer that ends inside one is told apart by its first byte.
    if !matches!(start.first(), Some(0x50..=0x5f)) {
        return Ok(None);
    }
    let mut header = [0; 8];
    source.read_exact(&mut header)?;
    let [_, b, c, d, length @ ..] = header;
    if [b, c, d] == [0x2a, 0x4d, 0x18] {
        Ok(Some(u32::from_le_bytes(length).into()))
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "zstd: something else behind a frame",
        ))
    }
}

/// A guess at what a file is instead, for the message.
fn looks_like(start: [u8; 4]) -> &'static str {
    match start {
        [b'E', b'l', b'f', b'F'] => "a Windows event log (EVTX)",
        [b'#', b's', b'e', b'p'] => "a Zeek log",
        [0x7f, b'E', b'L', b'F'] => "a program (ELF)",
        [b'P', b'K', ..] => "a ZIP archive",
        [0xfd, b'7', b'z', b'X'] => "an xz archive: unpack it first",
        [b'B', b'Z', b'h', _] => "a bzip2 archive: unpack it first",
        [b'{' | b'[', ..] => "JSON",
        [b's', b'n', b'o', b'o'] => "a Solaris snoop file: convert it with editcap",
        _ if start
            .iter()
            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) =>
        {
            "text"
        }
        _ => "something else",
    }
}
