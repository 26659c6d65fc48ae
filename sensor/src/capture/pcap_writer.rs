//! Writes classic pcap files with nanosecond time stamps: for evidence, benchmarks and tests.

use std::io::{self, Write};

use sensor_ebpf::flow::TimeNs;

use super::link::LinkType;

/// A capture being written.
pub struct PcapWriter<W: Write> {
    out: W,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(mut out: W, link: LinkType) -> io::Result<Self> {
        out.write_all(&0xa1b2_3c4d_u32.to_le_bytes())?;
        out.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
        out.write_all(&262_144_u32.to_le_bytes())?;
        out.write_all(&u32::from(link.0).to_le_bytes())?;
        Ok(Self { out })
    }

    /// Writes one frame; `wire_length` is its length before it was cut.
    ///
    /// # Errors
    /// What `out` says, and a time after the year 2106, which the format cannot hold.
    pub fn write(&mut self, time: TimeNs, wire_length: u32, frame: &[u8]) -> io::Result<()> {
        let seconds = u32::try_from(time / 1_000_000_000).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "pcap holds no time after 2106")
        })?;
        let length = u32::try_from(frame.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "frame longer than 4 GiB"))?;
        let mut header = [0; 16];
        let fields = [
            seconds,
            (time % 1_000_000_000) as u32,
            length,
            wire_length.max(length),
        ];
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
