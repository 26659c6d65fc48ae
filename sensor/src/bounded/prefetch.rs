//! Asking the cache for a line before it is needed.

/// Asks for the cache line at `index` of `slice`, if there is such an element. A hint, without effect on results.
#[inline(always)]
pub(crate) fn prefetch<T>(slice: &[T], index: usize, byte: usize) {
    #[cfg(target_arch = "x86_64")]
    if index < slice.len() && byte < size_of::<T>() {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = slice[index..].as_ptr().cast::<i8>().wrapping_add(byte);
        // SAFETY: a prefetch never faults, whatever the address; this one lies inside `slice`.
        unsafe { _mm_prefetch(address, _MM_HINT_T0) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, index, byte);
}
