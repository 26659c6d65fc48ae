//! Writes pcapng (draft-ietf-opsawg-pcapng): packets with comments, which Wireshark shows. Times to the nanosecond.

use std::io::{self, Write};

use sensor_ebpf::flow::TimeNs;

use super::link::LinkType;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Options that are written, by their code.
mod option {
    pub(super) const END: u16 = 0;
    pub(super) const COMMENT: u16 = 1;
    /// `shb_userappl`: the program that wrote the file.
    pub(super) const APPLICATION: u16 = 4;
    /// `if_tsresol`: 9 for 10⁻⁹ s.
    pub(super) const TIME_RESOLUTION: u16 = 9;
}

/// Longest comment that is written, in bytes; what is beyond is cut. The format holds 65,535.
const COMMENT_MAX_BYTES: usize = 8_192;
/// Interfaces, one for each link type, that a file may have.
const INTERFACES_MAX: usize = 64;

/// A file being written. Little-endian.
#[derive(Debug)]
pub struct PcapngWriter<W: Write> {
    out: W,
    links: Vec<LinkType>,
    block: Vec<u8>,
    written: u64,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins a section, with comments for the whole of it. `out` should be buffered.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(out: W, comments: &[String]) -> io::Result<Self> {
        let mut writer = Self {
            out,
            links: Vec::new(),
            block: Vec::new(),
            written: 0,
        };
        writer.begin(SECTION_HEADER);
        writer.word(BYTE_ORDER_MAGIC);
        // Version 1.0, and a section of unknown length.
        writer.word(1);
        writer.block.extend([0xff; 8]);
        for comment in comments {
            writer.comment(comment);
        }
        let application = concat!("anomaly-detect ", env!("CARGO_PKG_VERSION"));
        writer.option(option::APPLICATION, application.as_bytes());
        writer.end()?;
        Ok(writer)
    }

    /// Writes a packet; `wire_length` is its length before it was cut.
    ///
    /// # Errors
    /// What `out` says; more link types in one file than there can be.
    pub fn packet(
        &mut self,
        time: TimeNs,
        link: LinkType,
        wire_length: u32,
        frame: &[u8],
        comment: Option<&str>,
    ) -> io::Result<()> {
        let refused = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        let length = u32::try_from(frame.len()).map_err(|_| refused("frame beyond 4 GiB"))?;
        let interface = match self.links.iter().position(|known| *known == link) {
            Some(interface) => interface,
            None if self.links.len() < INTERFACES_MAX => self.interface(link)?,
            None => return Err(refused("more than 64 link types in one file")),
        };
        self.begin(ENHANCED_PACKET);
        for word in [
            interface as u32,
            (time >> 32) as u32,
            time as u32,
            length,
            wire_length.max(length),
        ] {
            self.word(word);
        }
        self.block.extend_from_slice(frame);
        self.pad();
        if let Some(comment) = comment {
            self.comment(comment);
            self.option(option::END, &[]);
        }
        self.finish_block()
    }

    fn interface(&mut self, link: LinkType) -> io::Result<usize> {
        self.begin(INTERFACE_DESCRIPTION);
        // Link type, reserved, and no limit of length.
        self.word(u32::from(link.0));
        self.word(0);
        self.option(option::TIME_RESOLUTION, &[9]);
        self.end()?;
        self.links.push(link);
        Ok(self.links.len() - 1)
    }

    /// Bytes written so far.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that a packet takes in the file, without its comment.
    pub const fn packet_bytes(frame: &[u8]) -> u64 {
        32 + frame.len().next_multiple_of(4) as u64
    }

    /// Flushes and gives the output back.
    ///
    /// # Errors
    /// What `out` says.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.word(kind);
        // The length, when it is known.
        self.word(0);
    }

    fn word(&mut self, word: u32) {
        self.block.extend(word.to_le_bytes());
    }

    fn pad(&mut self) {
        let length = self.block.len().next_multiple_of(4);
        self.block.resize(length, 0);
    }

    fn comment(&mut self, text: &str) {
        let mut end = text.len().min(COMMENT_MAX_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.option(option::COMMENT, &text.as_bytes()[..end]);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.block.extend(code.to_le_bytes());
        self.block.extend((value.len() as u16).to_le_bytes());
        self.block.extend_from_slice(value);
        self.pad();
    }

    fn end(&mut self) -> io::Result<()> {
        self.option(option::END, &[]);
        self.finish_block()
    }

    fn finish_block(&mut self) -> io::Result<()> {
        let length = self.block.len() as u32 + 4;
        self.word(length);
        self.block[4..8].copy_from_slice(&length.to_le_bytes());
        self.written += self.block.len() as u64;
        self.out.write_all(&self.block)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::frames;

    proptest! {
        /// What is written is read again, by our own reader: times, link types, lengths and bytes.
        #[test]
        fn what_is_written_is_read_again(
            packets in prop::collection::vec((any::<u64>(), prop::sample::select(vec![1_u16, 101, 113]), prop::collection::vec(any::<u8>(), 0..70), 0_u32..9, any::<bool>()), 1..20),
        ) {
            let folder = tempfile::tempdir().expect("folder");
            let path = folder.path().join("a.pcapng");
            let comments = ["of all".to_owned(), "ä".repeat(9000)];
            let mut writer = PcapngWriter::new(Vec::new(), &comments).expect("memory");
            let mut packets = packets;
            packets.sort_by_key(|packet| packet.0);
            for (time, link, frame, cut, said) in &packets {
                writer
                    .packet(*time, LinkType(*link), frame.len() as u32 + cut, frame, said.then_some("why"))
                    .expect("memory");
            }
            let written = writer.written();
            let bytes = writer.finish().expect("memory");
            prop_assert_eq!(written, bytes.len() as u64);
            std::fs::write(&path, bytes).expect("file");
            let mut read = Vec::new();
            let report = frames::each(&[path], &mut |record| {
                read.push((record.time, record.link.0, record.frame.to_vec(), record.wire_length - record.frame.len() as u32));
                Ok(())
            });
            prop_assert!(report.expect("a capture").losses.is_empty());
            let wanted: Vec<_> = packets.into_iter().map(|(time, link, frame, cut, _)| (time, link, frame, cut)).collect();
            prop_assert_eq!(read, wanted);
        }
    }
}
