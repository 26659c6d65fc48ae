//! The pcapng file (draft-ietf-opsawg-pcapng): sections of blocks, each with its own byte order and interfaces.

use std::io;

use sensor_ebpf::flow::TimeNs;

use super::{
    blocks::Blocks,
    container::{Endian, Ending, FRAME_MAX_BYTES, Span, damage},
    link::LinkType,
};

/// First bytes of a section header, the same in both byte orders.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET_OBSOLETE: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Longest block believed: `INITIAL_MAX_BLOCKSIZE` of libpcap. Others are passed over, so this bounds no memory.
const BLOCK_MAX_BYTES: u32 = 16 << 20;
/// Longest packet block: frame, headers and generous options.
const PACKET_BLOCK_MAX_BYTES: u32 = FRAME_MAX_BYTES + (64 << 10);
/// More interfaces than any sane file describes; each costs a few bytes of memory.
const INTERFACES_MAX: usize = 65_536;

/// The section being read.
#[derive(Default)]
pub(super) struct Section {
    endian: Endian,
    interfaces: Vec<Interface>,
    open: bool,
    /// A simple packet block has no time; it gets that of the packet before it.
    last_time: TimeNs,
}

#[derive(Clone, Copy)]
struct Interface {
    link: LinkType,
    snap_length: u32,
    resolution: Resolution,
    /// Seconds to add to every time stamp (`if_tsoffset`).
    offset_seconds: i64,
}

/// Units of an interface's time stamps (`if_tsresol`).
#[derive(Clone, Copy)]
enum Resolution {
    /// Nanoseconds per unit.
    Coarse(u64),
    /// Units per nanosecond.
    Fine(u64),
    /// Units of 2^-n seconds.
    Binary(u32),
}

impl Resolution {
    fn of(code: u8) -> Option<Self> {
        let exponent = u32::from(code & 0x7f);
        if code & 0x80 != 0 {
            (exponent <= 63).then_some(Self::Binary(exponent))
        } else if exponent <= 9 {
            Some(Self::Coarse(10u64.pow(9 - exponent)))
        } else {
            (exponent <= 19).then(|| Self::Fine(10u64.pow(exponent - 9)))
        }
    }

    #[inline]
    fn nanoseconds(self, units: u64) -> u64 {
        match self {
            Self::Coarse(factor) => units.saturating_mul(factor),
            Self::Fine(divisor) => units / divisor,
            Self::Binary(exponent) => {
                u64::try_from((u128::from(units) * 1_000_000_000) >> exponent).unwrap_or(u64::MAX)
            }
        }
    }
}

impl Section {
    /// Whether a section header has been read.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    #[inline]
    pub(super) fn next(&mut self, blocks: &mut Blocks) -> io::Result<Result<Span, Ending>> {
        loop {
            let header = blocks.peek(12)?;
            if header.len() < 12 {
                return Ok(Err(if header.is_empty() {
                    Ending::End
                } else {
                    Ending::Damage(damage(blocks, "a block header is cut"))
                }));
            }
            if header[..4] == MAGIC {
                match u32::from_le_bytes([header[8], header[9], header[10], header[11]]) {
                    0x1a2b_3c4d => self.endian = Endian::Little,
                    0x4d3c_2b1a => self.endian = Endian::Big,
                    _ => {
                        return Ok(Err(Ending::Damage(damage(
                            blocks,
                            "a section header without byte-order magic",
                        ))));
                    }
                }
            }
            let endian = self.endian;
            let kind = endian.u32(header, 0);
            let length = endian.u32(header, 4);
            if length < 12 || !length.is_multiple_of(4) || length > BLOCK_MAX_BYTES {
                let what = format!("a block claims {length} bytes");
                return Ok(Err(Ending::Damage(damage(blocks, what))));
            }
            let is_packet = matches!(kind, ENHANCED_PACKET | SIMPLE_PACKET | PACKET_OBSOLETE);
            if is_packet || kind == INTERFACE_DESCRIPTION || kind == SECTION_HEADER {
                if length > PACKET_BLOCK_MAX_BYTES {
                    let what = format!("a block of type {kind} claims {length} bytes");
                    return Ok(Err(Ending::Damage(damage(blocks, what))));
                }
                let block = blocks.peek(length as usize)?;
                if block.len() < length as usize {
                    let what = format!("a block of {length} bytes is cut after {}", block.len());
                    return Ok(Err(Ending::Damage(damage(blocks, what))));
                }
                if endian.u32(block, length as usize - 4) != length {
                    return Ok(Err(Ending::Damage(damage(
                        blocks,
                        "a block's two lengths differ",
                    ))));
                }
                let read = match kind {
                    SECTION_HEADER => self.section(block).map(|()| None),
                    INTERFACE_DESCRIPTION => self.interface(block).map(|()| None),
                    _ => self.packet(kind, block).map(Some),
                };
                match read {
                    Ok(Some(span)) => return Ok(Ok(span)),
                    Ok(None) => {}
                    Err(what) => return Ok(Err(Ending::Damage(damage(blocks, what)))),
                }
                blocks.advance(length as usize);
            } else if !blocks.skip(u64::from(length))? {
                return Ok(Err(Ending::Damage(damage(blocks, "a block is cut"))));
            }
        }
    }

    fn section(&mut self, block: &[u8]) -> Result<(), String> {
        if block.len() < 28 {
            return Err("a section header is too short".into());
        }
        let (major, minor) = (self.endian.u16(block, 12), self.endian.u16(block, 14));
        // 1.2 is what some writers put for 1.0 (libpcap accepts it too).
        if major != 1 || !matches!(minor, 0 | 2) {
            return Err(format!("pcapng version {major}.{minor} is not known"));
        }
        self.interfaces.clear();
        self.open = true;
        Ok(())
    }

    fn interface(&mut self, block: &[u8]) -> Result<(), String> {
        if block.len() < 20 {
            return Err("an interface description is too short".into());
        }
        if self.interfaces.len() == INTERFACES_MAX {
            return Err("more interfaces than 65,536".into());
        }
        let endian = self.endian;
        let snap_length = endian.u32(block, 12);
        let mut interface = Interface {
            link: LinkType(endian.u16(block, 8)),
            snap_length: if snap_length == 0 {
                FRAME_MAX_BYTES
            } else {
                snap_length
            },
            resolution: Resolution::Coarse(1_000),
            offset_seconds: 0,
        };
        let mut options = &block[16..block.len() - 4];
        while options.len() >= 4 {
            let (code, length) = (endian.u16(options, 0), usize::from(endian.u16(options, 2)));
            let padded = 4 + length.next_multiple_of(4);
            if code == 0 {
                break;
            }
            if options.len() < padded {
                return Err("an interface option is cut".into());
            }
            let value = &options[4..4 + length];
            match (code, length) {
                (9, 1) => {
                    interface.resolution = Resolution::of(value[0])
                        .ok_or_else(|| format!("time resolution {} is not known", value[0]))?;
                }
                (14, 8) => {
                    let (first, second) = (endian.u32(value, 0), endian.u32(value, 4));
                    let (high, low) = match endian {
                        Endian::Little => (second, first),
                        Endian::Big => (first, second),
                    };
                    interface.offset_seconds = (u64::from(high) << 32 | u64::from(low)) as i64;
                }
                _ => {}
            }
            options = &options[padded..];
        }
        self.interfaces.push(interface);
        Ok(())
    }

    #[inline]
    fn packet(&mut self, kind: u32, block: &[u8]) -> Result<Span, String> {
        let endian = self.endian;
        let (interface, units, captured, wire_length, frame_at) = match kind {
            SIMPLE_PACKET => {
                if block.len() < 16 {
                    return Err("a packet block is too short".into());
                }
                let wire = endian.u32(block, 8);
                let snap = self
                    .interfaces
                    .first()
                    .map_or(FRAME_MAX_BYTES, |interface| interface.snap_length);
                (0, None, wire.min(snap), wire, 12)
            }
            _ => {
                if block.len() < 32 {
                    return Err("a packet block is too short".into());
                }
                let interface = match kind {
                    PACKET_OBSOLETE => u32::from(endian.u16(block, 8)),
                    _ => endian.u32(block, 8),
                };
                let units =
                    u64::from(endian.u32(block, 12)) << 32 | u64::from(endian.u32(block, 16));
                (
                    interface as usize,
                    Some(units),
                    endian.u32(block, 20),
                    endian.u32(block, 24),
                    28,
                )
            }
        };
        let Some(interface) = self.interfaces.get(interface) else {
            return Err(format!(
                "a packet of interface {interface}, which is not described"
            ));
        };
        if captured > FRAME_MAX_BYTES || captured as usize > block.len() - 4 - frame_at {
            return Err(format!(
                "a packet claims {captured} captured bytes in a block of {}",
                block.len()
            ));
        }
        if let Some(units) = units {
            let time = interface.resolution.nanoseconds(units);
            let offset = interface.offset_seconds.saturating_mul(1_000_000_000);
            self.last_time = time.saturating_add_signed(offset);
        }
        Ok(Span {
            time: self.last_time,
            link: interface.link,
            wire_length: wire_length.max(captured),
            frame_at,
            frame_length: captured as usize,
            length: block.len(),
        })
    }
}
