//! Reads a byte stream in cache-sized blocks and lends out contiguous windows of it.

use std::io::{self, Read};

/// About half of a core's L2 cache: what is parsed is still warm from the read.
const BLOCK_BYTES: usize = 256 << 10;

/// A stream with a window over its next bytes.
pub(super) struct Blocks {
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the stream before the buffer.
    before: u64,
}

impl Blocks {
    pub(super) fn new(source: Box<dyn Read + Send>) -> Self {
        Self {
            source,
            buffer: vec![0; BLOCK_BYTES],
            start: 0,
            end: 0,
            before: 0,
        }
    }

    /// Offset in the stream of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.before + self.start as u64
    }

    /// The next `count` bytes, or as many as there are before the end of the stream. The caller bounds `count`.
    #[inline]
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        if self.end - self.start < count {
            self.fill(count)?;
        }
        let until = self.end.min(self.start + count);
        Ok(&self.buffer[self.start..until])
    }

    /// What has been read already, from the next byte on.
    #[inline(always)]
    pub(super) fn at_hand(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Leaves behind `count` bytes that were peeked at.
    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start);
        self.start += count;
    }

    /// Leaves behind `count` bytes that need not have been read yet; false where the stream ends before.
    pub(super) fn skip(&mut self, mut count: u64) -> io::Result<bool> {
        loop {
            let here = (self.end - self.start).min(usize::try_from(count).unwrap_or(usize::MAX));
            self.advance(here);
            count -= here as u64;
            if count == 0 {
                return Ok(true);
            }
            if self.peek(1)?.is_empty() {
                return Ok(false);
            }
        }
    }

    #[cold]
    fn fill(&mut self, count: usize) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.before += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < count {
            self.buffer.resize(count, 0);
        }
        while self.end < count {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
