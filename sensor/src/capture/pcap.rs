//! The classic pcap file (draft-ietf-opsawg-pcap): a 24-byte header, then records of 16 bytes and the frame.

use std::io;

use super::{
    blocks::Blocks,
    container::{Damage, Endian, Ending, FRAME_MAX_BYTES, Span, damage},
    link::LinkType,
};

const HEADER_BYTES: usize = 24;
const RECORD_BYTES: usize = 16;

/// Byte order and resolution, as the magic number tells them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    endian: Endian,
    /// Nanoseconds per unit of the fraction.
    unit: u64,
    /// Bytes of a record header: 16, or 24 in the files of Kuznetsov's patched libpcap.
    record_bytes: usize,
}

impl Order {
    pub(super) fn of(magic: [u8; 4]) -> Option<Self> {
        let (endian, number) = match magic {
            [0xa1, ..] => (Endian::Big, u32::from_be_bytes(magic)),
            _ => (Endian::Little, u32::from_le_bytes(magic)),
        };
        let (unit, record_bytes) = match number {
            0xa1b2_c3d4 => (1_000, RECORD_BYTES),
            0xa1b2_3c4d => (1, RECORD_BYTES),
            0xa1b2_cd34 => (1_000, RECORD_BYTES + 8),
            _ => return None,
        };
        Some(Self {
            endian,
            unit,
            record_bytes,
        })
    }
}

/// Order of the two lengths in a record header. It was the other way round before version 2.3, and some writers
/// of 2.3 had it either way (libpcap sf-pcap.c, `pcap_check_header`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lengths {
    CapturedFirst,
    WireFirst,
    Unsure,
}

/// What the file header says.
pub(super) struct Header {
    order: Order,
    lengths: Lengths,
    link: LinkType,
    /// A record longer than the snap length the file promises is cut to it, as libpcap does.
    snap_length: u32,
}

impl Header {
    pub(super) fn read(blocks: &mut Blocks, order: Order) -> io::Result<Result<Self, Damage>> {
        let header = blocks.peek(HEADER_BYTES)?;
        if header.len() < HEADER_BYTES {
            return Ok(Err(damage(blocks, "the file header is cut")));
        }
        let endian = order.endian;
        let (major, minor) = (endian.u16(header, 4), endian.u16(header, 6));
        if major != 2 || minor > 4 {
            let what = format!("pcap version {major}.{minor} is not known");
            return Ok(Err(damage(blocks, what)));
        }
        let lengths = match minor {
            ..3 => Lengths::WireFirst,
            3 => Lengths::Unsure,
            _ => Lengths::CapturedFirst,
        };
        let snap_length = endian.u32(header, 16);
        // The upper bits carry the FCS length; the lower 16 are the link type.
        let link = LinkType((endian.u32(header, 20) & 0xffff) as u16);
        blocks.advance(HEADER_BYTES);
        let snap_length = if snap_length == 0 || snap_length > FRAME_MAX_BYTES {
            FRAME_MAX_BYTES
        } else {
            snap_length
        };
        Ok(Ok(Self {
            order,
            lengths,
            link,
            snap_length,
        }))
    }

    /// The record at the beginning of `window`, if it is whole and nothing is wrong with it; [`Self::next`] finds it
    /// too, and says what is wrong.
    #[inline(always)]
    pub(super) fn at_hand(&self, window: &[u8]) -> Option<Span> {
        let Order {
            endian,
            record_bytes,
            ..
        } = self.order;
        let words = endian.words(window.first_chunk()?);
        let [.., captured, wire_length] = words;
        let length = record_bytes + captured as usize;
        if self.lengths != Lengths::CapturedFirst
            || captured > FRAME_MAX_BYTES
            || window.len() < length
        {
            return None;
        }
        Some(self.span(words, captured, wire_length))
    }

    /// A record whose header has been read and believed.
    #[inline(always)]
    fn span(&self, [seconds, fraction, ..]: [u32; 4], captured: u32, wire_length: u32) -> Span {
        let Order {
            unit, record_bytes, ..
        } = self.order;
        Span {
            time: u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * unit,
            link: self.link,
            wire_length: wire_length.max(captured),
            frame_at: record_bytes,
            frame_length: captured.min(self.snap_length) as usize,
            length: record_bytes + captured as usize,
        }
    }

    pub(super) fn next(&self, blocks: &mut Blocks) -> io::Result<Result<Span, Ending>> {
        let Order {
            endian,
            record_bytes,
            ..
        } = self.order;
        let header = blocks.peek(record_bytes)?;
        if header.len() < record_bytes {
            return Ok(Err(if header.is_empty() {
                Ending::End
            } else {
                let what = format!(
                    "a record header of {record_bytes} bytes is cut after {}",
                    header.len()
                );
                Ending::Damage(damage(blocks, what))
            }));
        }
        let words = endian.words(header.first_chunk().expect("as long as a record's header"));
        let [.., mut captured, mut wire_length] = words;
        if self.lengths == Lengths::WireFirst
            || (self.lengths == Lengths::Unsure && captured > wire_length)
        {
            std::mem::swap(&mut captured, &mut wire_length);
        }
        if captured > FRAME_MAX_BYTES {
            let what =
                format!("a record claims {captured} captured bytes; {FRAME_MAX_BYTES} is the most");
            return Ok(Err(Ending::Damage(damage(blocks, what))));
        }
        let length = record_bytes + captured as usize;
        let window = blocks.peek(length)?;
        if window.len() < length {
            let what = format!(
                "a record of {captured} bytes is cut after {}",
                window.len() - record_bytes
            );
            return Ok(Err(Ending::Damage(damage(blocks, what))));
        }
        Ok(Ok(self.span(words, captured, wire_length)))
    }
}
