//! A zstd frame handed on block by block, so that one that is cut gives all that its whole blocks hold: the decoder keeps back
//! what a later block may refer to, up to eight megabytes, until the frame ends.

use std::io::{self, Read};

/// Largest block (RFC 8878 §3.1.1.2.4).
const BLOCK_MAX_BYTES: usize = 128 << 10;

/// What comes next of a frame.
enum Next {
    Header,
    Block,
    Checksum,
    Nothing,
}

/// Reads one frame. Where its source ends inside, it ends with an empty block, and says so.
pub(super) struct WholeBlocks<R> {
    source: R,
    next: Next,
    has_checksum: bool,
    cut: bool,
    /// A header, a block or a checksum, and how much of it was handed on.
    part: Vec<u8>,
    given: usize,
}

impl<R: Read> WholeBlocks<R> {
    /// Of a source that stands before a frame.
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            next: Next::Header,
            has_checksum: false,
            cut: false,
            part: Vec::new(),
            given: 0,
        }
    }

    /// The source, behind the frame, and whether it ended inside.
    pub(super) fn into_inner(self) -> (R, bool) {
        (self.source, self.cut)
    }

    /// Appends so many bytes to the part; false if there are fewer.
    fn take(&mut self, length: usize) -> io::Result<bool> {
        let read = (&mut self.source)
            .take(length as u64)
            .read_to_end(&mut self.part)?;
        Ok(read == length)
    }

    /// The last block, empty: header of three bytes, the first bit of which says that it is the last.
    fn end(&mut self) {
        self.part.clear();
        self.part.extend([1, 0, 0]);
        if self.has_checksum {
            self.part.extend([0; 4]);
        }
        self.cut = true;
    }

    fn advance(&mut self) -> io::Result<()> {
        self.part.clear();
        self.given = 0;
        match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Nothing => {}
            // RFC 8878 §3.1.1.1: magic number, descriptor, window, dictionary, content size.
            Next::Header => {
                if self.take(5)? {
                    let descriptor = self.part[4];
                    let is_single = descriptor & 0x20 != 0;
                    self.has_checksum = descriptor & 4 != 0;
                    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
                    let content = match descriptor >> 6 {
                        0 => usize::from(is_single),
                        size => 1 << size,
                    };
                    if self.take(usize::from(!is_single) + dictionary + content)? {
                        self.next = Next::Block;
                    }
                }
            }
            // §3.1.1.2: is it the last, its type, its size; of a run, one byte stands for all.
            Next::Block => {
                if !self.take(3)? {
                    self.end();
                    return Ok(());
                }
                let header = u32::from_le_bytes([self.part[0], self.part[1], self.part[2], 0]);
                let length = match header >> 1 & 3 {
                    1 => 1,
                    _ => (header >> 3) as usize,
                };
                // A larger one is the decoder's to refuse.
                if length > BLOCK_MAX_BYTES {
                    return Ok(());
                }
                if !self.take(length)? {
                    self.end();
                    return Ok(());
                }
                self.next = match (header & 1, self.has_checksum) {
                    (0, _) => Next::Block,
                    (_, true) => Next::Checksum,
                    (_, false) => Next::Nothing,
                };
            }
            Next::Checksum => {
                if !self.take(4)? {
                    self.part.resize(4, 0);
                    self.cut = true;
                }
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for WholeBlocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.part.len() {
            self.advance()?;
        }
        let length = buffer.len().min(self.part.len() - self.given);
        buffer[..length].copy_from_slice(&self.part[self.given..][..length]);
        self.given += length;
        Ok(length)
    }
}
