//! Bounded reads from a frame, written so that the BPF verifier can follow them.
//!
//! The verifier accepts a read of packet memory only after it has seen *the same pointer*, plus the size of the
//! read, compared with `data_end` (kernel/bpf/verifier.c, `find_good_pkt_pointers`). A slice loses that: its
//! length is a plain number. So a [`Cursor`] holds the two pointers, every read compares pointers, and what has
//! been parsed is left behind by moving the start: all reads are at small constant offsets.

use core::marker::PhantomData;

/// The unread rest of a frame.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    /// First byte of the frame.
    base: *const u8,
    start: *const u8,
    end: *const u8,
    frame: PhantomData<&'a [u8]>,
}

/// The longest distance one [`Cursor::skip`] may go. Longer than any header (IPv6 extensions reach 2,056 bytes)
/// and within what the verifier lets a packet pointer move (`MAX_PACKET_OFF`).
pub const SKIP_MAX_BYTES: usize = 4095;

/// Headers that reach further into a frame than this are not followed (in the kernel; 24 times 255 bytes of IPv6
/// extensions would). A mask, because that is a bound the verifier understands.
#[cfg(target_arch = "bpf")]
const SETTLE_MASK: usize = 0x3fff;

/// Hides from the compiler where a pointer comes from, so that it cannot undo [`Cursor::settle`].
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub fn opaque<T>(mut pointer: *const T) -> *const T {
    // SAFETY: a register is moved to itself. (An instruction, because line information wants one.)
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) pointer, options(nostack, preserves_flags)) };
    pointer
}

/// The same for a number: what is compared is then the very register that is used.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub fn opaque_number(number: u32) -> u32 {
    let mut number = u64::from(number);
    // SAFETY: a register is moved to itself.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) number, options(nostack, preserves_flags)) };
    number as u32
}

/// On the host nothing is hidden.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
pub fn opaque<T>(pointer: *const T) -> *const T {
    pointer
}

/// On the host nothing is hidden.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
pub fn opaque_number(number: u32) -> u32 {
    number
}

impl<'a> Cursor<'a> {
    /// All of a captured frame.
    #[inline(always)]
    pub fn from_slice(frame: &'a [u8]) -> Self {
        let range = frame.as_ptr_range();
        Self {
            base: range.start,
            start: range.start,
            end: range.end,
            frame: PhantomData,
        }
    }

    /// The packet memory between `data` and `data_end` of a BPF context.
    ///
    /// # Safety
    /// `start <= end`, and the bytes between them stay readable and unchanged for `'a`.
    #[inline(always)]
    pub unsafe fn from_raw(start: *const u8, end: *const u8) -> Self {
        Self {
            base: start,
            start,
            end,
            frame: PhantomData,
        }
    }

    /// Bytes left.
    #[inline(always)]
    pub fn remaining(&self) -> usize {
        self.end as usize - self.start as usize
    }

    /// Reads `N` bytes at `offset` from here, or `None` where the frame is shorter. `offset` is a constant at
    /// every call.
    #[inline(always)]
    pub fn bytes<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let pointer = self.at(offset, N)?;
        // SAFETY: `at` has checked that `N` bytes are readable there; an array of bytes has no alignment.
        Some(unsafe { pointer.cast::<[u8; N]>().read() })
    }

    /// Reads one byte.
    #[inline(always)]
    pub fn u8(&self, offset: usize) -> Option<u8> {
        let pointer = self.at(offset, 1)?;
        // SAFETY: `at` has checked that the byte is readable.
        Some(unsafe { pointer.read() })
    }

    /// Reads a 16-bit number in network byte order.
    #[inline(always)]
    pub fn u16(&self, offset: usize) -> Option<u16> {
        let pointer = self.at(offset, 2)?;
        // SAFETY: `at` has checked that two bytes are readable.
        Some(u16::from_be(unsafe { load(pointer.cast()) }))
    }

    /// Reads a 32-bit number in network byte order.
    #[inline(always)]
    pub fn u32(&self, offset: usize) -> Option<u32> {
        let pointer = self.at(offset, 4)?;
        // SAFETY: `at` has checked that four bytes are readable.
        Some(u32::from_be(unsafe { load(pointer.cast()) }))
    }

    /// Reads a 64-bit number in network byte order.
    #[inline(always)]
    pub fn u64(&self, offset: usize) -> Option<u64> {
        let pointer = self.at(offset, 8)?;
        // SAFETY: `at` has checked that eight bytes are readable.
        Some(u64::from_be(unsafe { load(pointer.cast()) }))
    }

    /// The next `N` bytes as a header whose fields can then be read without further checks, or `None` where the frame
    /// is shorter.
    #[inline(always)]
    pub fn header<const N: usize>(&self) -> Option<Header<'a, N>> {
        let pointer = self.at(0, N)?;
        // SAFETY: `at` has checked that `N` bytes are readable there for `'a`; an array of bytes has no alignment.
        Some(Header(unsafe { &*pointer.cast::<[u8; N]>() }))
    }

    /// Leaves behind a header of `count` bytes, a constant, that was read with [`header`](Self::header).
    #[inline(always)]
    pub fn behind(&self, count: usize) -> Self {
        Self {
            start: self.start.wrapping_add(count),
            ..*self
        }
    }

    /// Leaves `count` bytes behind, or `None` where the frame is shorter or `count` is beyond [`SKIP_MAX_BYTES`].
    #[inline(always)]
    pub fn skip(&self, count: usize) -> Option<Self> {
        if count > SKIP_MAX_BYTES {
            return None;
        }
        let start = self.start.wrapping_add(count);
        if start > self.end {
            return None;
        }
        Some(Self { start, ..*self })
    }

    /// Makes the verifier forget by which way the parser came here, so that it checks what follows once and not
    /// once for each way. Changes nothing else: the result starts where `self` does.
    ///
    /// The difference of two packet pointers is an unknown number to the verifier; bounded by a mask and added to
    /// the frame's start it is a packet pointer again.
    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    pub fn settle(&self) -> Self {
        let offset = (opaque(self.start) as usize).wrapping_sub(self.base as usize) & SETTLE_MASK;
        Self {
            start: opaque(self.base.wrapping_add(offset)),
            ..*self
        }
    }

    /// On the host there is no verifier, and nothing to forget.
    #[cfg(not(target_arch = "bpf"))]
    #[inline(always)]
    pub fn settle(&self) -> Self {
        *self
    }

    /// How far into the frame this is.
    #[inline(always)]
    pub(crate) fn offset(&self) -> u32 {
        (opaque(self.start) as usize).wrapping_sub(self.base as usize) as u32
    }

    /// The rest of the frame from `offset` on, which [`Self::offset`] gave; from elsewhere, nothing is left to read.
    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    pub(crate) fn at_offset(&self, offset: u32) -> Self {
        Self {
            start: opaque(self.base.wrapping_add(offset as usize & SETTLE_MASK)),
            ..*self
        }
    }

    /// The rest of the frame from `offset` on, which [`Self::offset`] gave; from elsewhere, nothing is left to read.
    #[cfg(not(target_arch = "bpf"))]
    #[inline(always)]
    pub(crate) fn at_offset(&self, offset: u32) -> Self {
        let length = self.end as usize - self.base as usize;
        Self {
            start: self.base.wrapping_add((offset as usize).min(length)),
            ..*self
        }
    }

    #[inline(always)]
    fn at(&self, offset: usize, size: usize) -> Option<*const u8> {
        let pointer = self.start.wrapping_add(offset);
        if pointer.wrapping_add(size) > self.end {
            None
        } else {
            Some(pointer)
        }
    }
}

/// The bytes of a header. Offsets are constants at every call, so that no check is left of the indexing.
#[derive(Clone, Copy)]
pub struct Header<'a, const N: usize>(&'a [u8; N]);

impl<const N: usize> Header<'_, N> {
    /// One byte.
    #[inline(always)]
    pub const fn u8(self, offset: usize) -> u8 {
        self.0[offset]
    }

    /// A 16-bit number in network byte order.
    #[inline(always)]
    pub const fn u16(self, offset: usize) -> u16 {
        u16::from_be_bytes([self.0[offset], self.0[offset + 1]])
    }

    /// Four bytes as they stand in memory.
    #[inline(always)]
    pub fn raw_u32(self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[offset..offset + 4]);
        u32::from_ne_bytes(bytes)
    }

    /// Eight bytes as they stand in memory.
    #[inline(always)]
    pub fn raw_u64(self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[offset..offset + 8]);
        u64::from_ne_bytes(bytes)
    }
}

/// Loads a number from packet memory, where it may lie unaligned.
///
/// # Safety
/// `pointer` must be readable for the size of `T`.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
unsafe fn load<T: Copy>(pointer: *const T) -> T {
    // SAFETY: the caller's promise.
    unsafe { pointer.read_unaligned() }
}

/// Loads a number from packet memory, where it may lie unaligned.
///
/// The kernel permits that for packets (`CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS`), while the compiler would
/// split an honest unaligned read into single bytes.
///
/// # Safety
/// `pointer` must be readable for the size of `T`.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn load<T: Copy>(pointer: *const T) -> T {
    // SAFETY: the caller's promise; BPF has no alignment trap for packet memory.
    unsafe { pointer.read() }
}
