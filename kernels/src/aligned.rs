//! Buffers that begin at a cache line, so that no vector of sixteen floats lies across two.

/// Two vectors of numbers; sixteen float16 alone would be half a cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Pair<T>([[T; 16]; 2]);

/// `len` numbers that begin at a cache line.
#[derive(Debug)]
pub(crate) struct Aligned<T> {
    pairs: Vec<Pair<T>>,
    len: usize,
}

impl<T> Default for Aligned<T> {
    fn default() -> Self {
        Self { pairs: Vec::new(), len: 0 }
    }
}

impl<T: Copy + Default> Aligned<T> {
    pub(crate) fn zeros(len: usize) -> Self {
        Self { pairs: vec![Pair([[T::default(); 16]; 2]); len.div_ceil(32)], len }
    }
}

impl<T> std::ops::Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: a pair is 32 numbers without gaps, and there are at least `len / 32` pairs, rounded up.
        unsafe { std::slice::from_raw_parts(self.pairs.as_ptr().cast(), self.len) }
    }
}

impl<T> std::ops::DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and the pairs are borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.pairs.as_mut_ptr().cast(), self.len) }
    }
}
