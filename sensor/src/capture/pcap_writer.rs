//! Writes classic pcap files (draft-ietf-opsawg-pcap): for evidence, benchmarks and tests.

use std::io::{self, Write};

use sensor_ebpf::flow::TimeNs;

use super::{container::FRAME_MAX_BYTES, link::LinkType};

/// Unit of the time stamps in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resolution {
    /// Exact; not read by tools from before 2013.
    #[default]
    Nanoseconds,
    /// What every tool reads. Times are rounded down.
    Microseconds,
}

impl Resolution {
    const fn magic(self) -> u32 {
        match self {
            Self::Nanoseconds => 0xa1b2_3c4d,
            Self::Microseconds => 0xa1b2_c3d4,
        }
    }

    const fn unit(self) -> u64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
        }
    }
}

/// A capture being written. Little-endian, like nearly every file in the wild.
#[derive(Debug)]
pub struct PcapWriter<W: Write> {
    out: W,
    resolution: Resolution,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header. `out` should be buffered: each frame is two writes.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(mut out: W, link: LinkType, resolution: Resolution) -> io::Result<Self> {
        out.write_all(&resolution.magic().to_le_bytes())?;
        // Version 2.4, then the time zone and accuracy that nobody ever used.
        out.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
        out.write_all(&FRAME_MAX_BYTES.to_le_bytes())?;
        out.write_all(&u32::from(link.0).to_le_bytes())?;
        Ok(Self { out, resolution })
    }

    /// Writes one frame; `wire_length` is its length before it was cut.
    ///
    /// # Errors
    /// What `out` says; a time after the year 2106, which the format cannot hold; a frame that no reader would
    /// believe (over 256 KiB).
    pub fn write(&mut self, time: TimeNs, wire_length: u32, frame: &[u8]) -> io::Result<()> {
        let refused = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        let seconds = u32::try_from(time / 1_000_000_000)
            .map_err(|_| refused("pcap holds no time after 2106"))?;
        let length = u32::try_from(frame.len())
            .ok()
            .filter(|length| *length <= FRAME_MAX_BYTES)
            .ok_or_else(|| refused("frame longer than 256 KiB"))?;
        let fields = [
            seconds,
            (time % 1_000_000_000 / self.resolution.unit()) as u32,
            length,
            wire_length.max(length),
        ];
        let mut header = [0; 16];
        for (bytes, field) in header.chunks_exact_mut(4).zip(fields) {
            bytes.copy_from_slice(&field.to_le_bytes());
        }
        self.out.write_all(&header)?;
        self.out.write_all(frame)
    }

    /// Flushes and gives the output back.
    ///
    /// # Errors
    /// What `out` says.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}
