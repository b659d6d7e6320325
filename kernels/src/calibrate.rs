//! What the machine can do at best, to compare kernels with.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::pool;
use crate::simd::{Isa, Kernel, LANES, Simd, dispatch};

/// Independent chains of multiply-adds at most: enough that none waits for its predecessor.
const MOST_CHAINS: usize = 16;
/// How long a measurement shall at least take: long enough that starting the threads does not count.
const AT_LEAST: Duration = Duration::from_millis(20);
/// The best of so many measurements is taken: others of the machine can only slow it down.
const TRIALS: usize = 5;
/// Floats that are read: more than caches hold.
const FLOATS: usize = 64 << 20;

/// Floating-point operations per second of fused multiply-adds that wait for nothing, with the instruction set that kernels use, on
/// so many threads at once. A product of matrices can come close to it and not beyond.
pub fn peak_flops(threads: usize) -> f64 {
    let isa = Isa::best();
    let run = |rounds| {
        let start = Instant::now();
        pool::for_each(threads, |_| {
            black_box(dispatch(isa, MultiplyAdds { rounds }));
        });
        start.elapsed()
    };
    let mut rounds = 1 << 16;
    while run(rounds) < AT_LEAST {
        rounds *= 2;
    }
    let best = (0..TRIALS).map(|_| run(rounds)).min().unwrap_or(AT_LEAST);
    threads as f64 * dispatch(isa, Operations) * rounds as f64 / best.as_secs_f64()
}

/// Bytes per second that so many threads read together from memory.
pub fn memory_bandwidth(threads: usize) -> f64 {
    let isa = Isa::best();
    let values = vec![1.0f32; FLOATS];
    let part = FLOATS / threads;
    let run = |_| {
        let start = Instant::now();
        pool::for_each(threads, |i| {
            black_box(dispatch(isa, Sum(&values[i * part..(i + 1) * part])));
        });
        start.elapsed()
    };
    let best = (0..TRIALS).map(run).min().unwrap_or(AT_LEAST);
    (threads * part * size_of::<f32>()) as f64 / best.as_secs_f64()
}

struct MultiplyAdds {
    rounds: usize,
}

impl Kernel for MultiplyAdds {
    type Output = f32;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> f32 {
        // SAFETY: the caller's promise is passed on; no pointer is read.
        unsafe {
            let (factor, summand) = (S::splat(black_box(0.5)), S::splat(black_box(0.5)));
            let mut sums = [S::splat(0.0); MOST_CHAINS];
            for _ in 0..self.rounds {
                for sum in &mut sums[..chains::<S>()] {
                    *sum = S::fma(*sum, factor, summand);
                }
            }
            sums[..chains::<S>()].iter().map(|sum| S::sum(*sum)).sum()
        }
    }
}

/// Operations of one round.
struct Operations;

impl Kernel for Operations {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> f64 {
        (2 * LANES * chains::<S>()) as f64
    }
}

/// As many as the product's tile has rows, so that they fit into the registers.
const fn chains<S: Simd>() -> usize {
    if S::TILE_ROWS < MOST_CHAINS { S::TILE_ROWS } else { MOST_CHAINS }
}

struct Sum<'a>(&'a [f32]);

impl Kernel for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> f32 {
        let mut blocks = self.0.chunks_exact(4 * LANES);
        // SAFETY: the caller's promise is passed on; each block has four vectors.
        unsafe {
            let mut sums = [S::splat(0.0); 4];
            for block in &mut blocks {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = S::add(*sum, S::load(block.as_ptr().add(i * LANES)));
                }
            }
            sums.iter().map(|sum| S::sum(*sum)).sum::<f32>() + blocks.remainder().iter().sum::<f32>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_takes_in_every_element() {
        let values: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        assert_eq!(dispatch(Isa::best(), Sum(&values)), 499_500.0);
    }

    #[test]
    fn chains_converge_to_one() {
        let sum = dispatch(Isa::best(), MultiplyAdds { rounds: 100 });
        assert_eq!(f64::from(sum), dispatch(Isa::best(), Operations) / 2.0);
    }
}
