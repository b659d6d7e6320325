//! What the machine can do at most: multiply-adds and memory traffic.

use std::hint::black_box;

use rayon::prelude::*;

/// Multiply-adds of sixteen lanes in one call of a thread.
pub(crate) const MULTIPLY_ADDS: usize = 1 << 24;
/// Independent chains: enough to hide an instruction's latency.
const CHAINS: usize = 12;

/// [`MULTIPLY_ADDS`] vectors of multiply-adds on each of `threads` threads, in registers.
pub(crate) fn multiply_add(threads: usize) {
    x0_kernels::install(|| {
        (0..threads).into_par_iter().with_max_len(1).for_each(|_| {
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the instruction set was just found to be there.
                    black_box(unsafe { avx512(black_box(0.999)) });
                    return;
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: as above.
                    black_box(unsafe { avx2(black_box(0.999)) });
                    return;
                }
            }
            black_box(chains(black_box(0.999)));
        })
    })
}

#[inline(always)]
fn chains(factor: f32) -> [[f32; 16]; CHAINS] {
    let mut sums = [[1f32; 16]; CHAINS];
    for _ in 0..MULTIPLY_ADDS / CHAINS {
        for sum in &mut sums {
            for x in sum {
                *x = x.mul_add(factor, 0.5);
            }
        }
    }
    sums
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(factor: f32) -> f32 {
    use std::arch::x86_64::*;
    let (factor, half) = (_mm512_set1_ps(factor), _mm512_set1_ps(0.5));
    let mut sums = [half; CHAINS];
    for _ in 0..MULTIPLY_ADDS / CHAINS {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, half);
        }
    }
    sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
}

/// Two registers stand for sixteen lanes; the chains are as many.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(factor: f32) -> f32 {
    use std::arch::x86_64::*;
    let (factor, half) = (_mm256_set1_ps(factor), _mm256_set1_ps(0.5));
    let mut sums = [half; CHAINS];
    for _ in 0..2 * MULTIPLY_ADDS / CHAINS {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, half);
        }
    }
    sums.into_iter().map(|sum| _mm_cvtss_f32(_mm256_castps256_ps128(sum))).sum()
}

/// Reads all of `values`, on all threads.
pub(crate) fn read(values: &[f32]) {
    x0_kernels::install(|| {
        let sum = |chunk: &[f32]| {
            let mut sums = [0u32; 64];
            for line in chunk.as_chunks::<64>().0 {
                for (sum, x) in sums.iter_mut().zip(line) {
                    *sum ^= x.to_bits();
                }
            }
            black_box(sums);
        };
        values.par_chunks(1 << 18).for_each(sum);
    })
}
