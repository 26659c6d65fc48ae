//! BPF arrays in the agent's own memory.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr::{self, NonNull},
    slice,
};

use aya::Pod;

/// A BPF array (`BPF_F_MMAPABLE`) that programs and the agent share: what one writes, the other sees.
pub(super) struct Mapped<T> {
    at: NonNull<T>,
    length: usize,
    elements: PhantomData<T>,
}

// SAFETY: memory of this process, owned by the value; plain numbers.
unsafe impl<T: Pod + Send> Send for Mapped<T> {}
// SAFETY: as above; what is read or written, and when, is up to the promises of the callers of `at_rest`.
unsafe impl<T: Pod + Sync> Sync for Mapped<T> {}

impl<T: Pod> Mapped<T> {
    /// Maps the `length` elements of an array.
    pub(super) fn new(array: BorrowedFd<'_>, length: u32) -> io::Result<Self> {
        const {
            assert!(
                size_of::<T>().is_multiple_of(8),
                "as the kernel spaces the elements of an array"
            );
        };
        let length = length as usize;
        // SAFETY: no address is asked for, and the result is checked.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length * size_of::<T>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                array.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = NonNull::new(at.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::Other))?;
        Ok(Self {
            at,
            length,
            elements: PhantomData,
        })
    }

    /// Where an element is.
    ///
    /// # Panics
    /// There is no such element.
    pub(super) fn place(&self, index: usize) -> NonNull<T> {
        assert!(index < self.length, "element {index} of {}", self.length);
        // SAFETY: inside of the mapping.
        unsafe { self.at.add(index) }
    }

    /// The `count` elements from `first` on.
    ///
    /// # Safety
    /// Until the slice is given back nobody else uses them: neither a program nor another slice of this mapping.
    ///
    /// # Panics
    /// There are no such elements.
    #[expect(
        clippy::mut_from_ref,
        reason = "several tables are at rest at once; who asks promises that they differ"
    )]
    pub(super) unsafe fn at_rest(&self, first: usize, count: usize) -> &mut [T] {
        assert!(
            first <= self.length && count <= self.length - first,
            "{count} elements from {first} of {}",
            self.length
        );
        let start = self.at.as_ptr().wrapping_add(first);
        // SAFETY: inside of the mapping, which lives as long as `self`; exclusive by the caller's promise.
        unsafe { slice::from_raw_parts_mut(start, count) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: what `new` has mapped, and nobody refers to it any more.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.length * size_of::<T>()) };
    }
}
