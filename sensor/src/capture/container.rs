//! Capture files: tells pcap from pcapng and hands out their records, whatever the byte order and resolution.
//!
//! Every length is checked against a bound before it is believed. A damaged record ends the file: what was read
//! until then stands, and [`Damage`] says where and why. Nothing is resynchronised, because guessing where the
//! next packet begins would invent packets.

use std::io;

use sensor_ebpf::flow::TimeNs;

use super::{blocks::Blocks, link::LinkType, pcap, pcapng};
use crate::bounded::prefetch;

/// Longest captured frame believed, in bytes: `MAXIMUM_SNAPLEN` of libpcap.
pub(super) const FRAME_MAX_BYTES: u32 = 262_144;

/// One captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When it was captured.
    pub time: TimeNs,
    /// How the frame begins.
    pub link: LinkType,
    /// Length on the wire, in bytes; at least that of `frame`.
    pub wire_length: u32,
    /// The captured bytes.
    pub frame: &'a [u8],
}

/// Where a record lies in the window of [`Blocks`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) time: TimeNs,
    pub(super) link: LinkType,
    pub(super) wire_length: u32,
    /// Offset of the frame behind the next byte of the stream, its length, and the length of all of the record.
    pub(super) frame_at: usize,
    pub(super) frame_length: usize,
    pub(super) length: usize,
}

impl Span {
    /// The record that lies so in a window that begins with it.
    #[inline(always)]
    fn record(self, window: &[u8]) -> Record<'_> {
        Record {
            time: self.time,
            link: self.link,
            wire_length: self.wire_length,
            frame: &window[self.frame_at..self.frame_at + self.frame_length],
        }
    }
}

/// Why a file ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Offset in the (decompressed) file.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.what)
    }
}

/// What stops a reader.
#[derive(Debug)]
pub(super) enum Ending {
    End,
    Damage(Damage),
}

enum Format {
    Pcap(pcap::Header),
    Pcapng(pcapng::Section),
}

/// A capture file, read record by record.
pub(super) struct Container {
    blocks: Blocks,
    format: Format,
    current: Option<Span>,
    damage: Option<Damage>,
}

/// Why a stream cannot be opened as a capture.
pub(super) enum Unreadable {
    Io(io::Error),
    Empty,
    NotACapture([u8; 4]),
    Damage(Damage),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Container {
    pub(super) fn open(mut blocks: Blocks) -> Result<Self, Unreadable> {
        let magic = blocks.peek(4)?;
        let Ok(magic) = <[u8; 4]>::try_from(magic) else {
            return Err(if magic.is_empty() {
                Unreadable::Empty
            } else {
                let mut start = [0; 4];
                start[..magic.len()].copy_from_slice(magic);
                Unreadable::NotACapture(start)
            });
        };
        let format = if magic == pcapng::MAGIC {
            Format::Pcapng(pcapng::Section::default())
        } else if let Some(order) = pcap::Order::of(magic) {
            match pcap::Header::read(&mut blocks, order)? {
                Ok(header) => Format::Pcap(header),
                Err(damage) => return Err(Unreadable::Damage(damage)),
            }
        } else {
            return Err(Unreadable::NotACapture(magic));
        };
        let mut container = Self {
            blocks,
            format,
            current: None,
            damage: None,
        };
        container.search()?;
        // A pcapng file that is broken before its first packet was never a usable capture.
        match (&container.current, &container.damage, &container.format) {
            (None, Some(damage), Format::Pcapng(section)) if !section.is_open() => {
                Err(Unreadable::Damage(damage.clone()))
            }
            _ => Ok(container),
        }
    }

    /// Time of the current record, or `None` at the end.
    #[inline]
    pub(super) fn time(&self) -> Option<TimeNs> {
        self.current.map(|span| span.time)
    }

    /// Hands records over, beginning with the current one, until there are no more or `take` does not take one: that one
    /// is then the current one.
    #[inline(always)]
    pub(super) fn run(&mut self, mut take: impl FnMut(&Record<'_>) -> bool) -> io::Result<()> {
        while let Some(mut span) = self.current {
            let whole = self.blocks.at_hand();
            let mut window = whole;
            let was_taken = loop {
                // The next record will be there when this one has been counted.
                prefetch(window, span.length, 0);
                prefetch(window, span.length + 64, 0);
                if !take(&span.record(window)) {
                    break false;
                }
                // Nearly always it is whole in what has been read, and is found without a detour.
                let behind = &window[span.length..];
                let next = match &self.format {
                    Format::Pcap(header) => header.at_hand(behind),
                    Format::Pcapng(_) => None,
                };
                let Some(next) = next else { break true };
                window = behind;
                span = next;
            };
            let left_behind = whole.len() - window.len();
            self.blocks.advance(left_behind);
            self.current = Some(span);
            if !was_taken {
                return Ok(());
            }
            self.search()?;
        }
        Ok(())
    }

    /// Moves to the next record.
    fn search(&mut self) -> io::Result<()> {
        if let Some(span) = self.current.take() {
            self.blocks.advance(span.length);
        }
        let next = match &mut self.format {
            Format::Pcap(header) => header.next(&mut self.blocks),
            Format::Pcapng(section) => section.next(&mut self.blocks),
        };
        match next {
            Ok(Ok(span)) => self.current = Some(span),
            Ok(Err(Ending::End)) => {}
            Ok(Err(Ending::Damage(damage))) => self.damage = Some(damage),
            // What the decoders say of a compressed file that is cut or damaged.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::InvalidData
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::Other
                ) =>
            {
                self.damage = Some(damage(&self.blocks, format!("decompression: {error}")));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Why the file ended early, if it did.
    pub(super) fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }
}

pub(super) fn damage(blocks: &Blocks, what: impl Into<String>) -> Damage {
    Damage {
        offset: blocks.offset(),
        what: what.into(),
    }
}

/// Byte order of a file: one way to read its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Endian {
    #[default]
    Little,
    Big,
}

impl Endian {
    #[inline]
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let bytes = [bytes[at], bytes[at + 1]];
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    #[inline]
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The four numbers of 32 bits that a pcap record begins with. One decision for all of them: four cost a tenth of what
    /// reading a record does.
    #[inline(always)]
    pub(super) fn words(self, bytes: &[u8; 16]) -> [u32; 4] {
        let (words, _) = bytes.as_chunks();
        let words: [[u8; 4]; 4] = [words[0], words[1], words[2], words[3]];
        match self {
            Self::Little => words.map(u32::from_le_bytes),
            Self::Big => words.map(u32::from_be_bytes),
        }
    }
}
