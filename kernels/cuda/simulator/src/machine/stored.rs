//! Single accesses to memory.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// What one access moves. All accesses are atomic, so that even kernels with races cannot do here what Rust forbids; on usual processors
/// that costs nothing.
pub(crate) trait Stored: Copy + PartialEq + Send + Sync + 'static {
    /// # Safety
    /// `pointer` is aligned and valid for reads of this type.
    unsafe fn load(pointer: *mut u8) -> Self;

    /// # Safety
    /// `pointer` is aligned and valid for writes of this type.
    unsafe fn store(pointer: *mut u8, value: Self);

    /// Replaces `old` by `new`, or says what is there instead.
    ///
    /// # Safety
    /// `pointer` is aligned and valid for reads and writes of this type.
    unsafe fn exchange(pointer: *mut u8, old: Self, new: Self) -> Result<(), Self>;
}

macro_rules! stored {
    ($($T:ty = $Atomic:ty),*) => {
        $(
            impl Stored for $T {
                #[inline(always)]
                unsafe fn load(pointer: *mut u8) -> Self {
                    // SAFETY: the caller promises that it is aligned and valid.
                    unsafe { <$Atomic>::from_ptr(pointer.cast()) }.load(Ordering::Relaxed)
                }

                #[inline(always)]
                unsafe fn store(pointer: *mut u8, value: Self) {
                    // SAFETY: the caller promises that it is aligned and valid.
                    unsafe { <$Atomic>::from_ptr(pointer.cast()) }.store(value, Ordering::Relaxed);
                }

                #[inline(always)]
                unsafe fn exchange(pointer: *mut u8, old: Self, new: Self) -> Result<(), Self> {
                    // SAFETY: the caller promises that it is aligned and valid.
                    let atomic = unsafe { <$Atomic>::from_ptr(pointer.cast()) };
                    atomic.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).map(|_| ())
                }
            }
        )*
    };
}

stored!(u8 = AtomicU8, u16 = AtomicU16, u32 = AtomicU32, u64 = AtomicU64);
