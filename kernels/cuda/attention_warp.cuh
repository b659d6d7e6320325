// What the attention kernels share: the operands of a warp's matrix products, and the exponentials of the softmax.
//
// Four neighbouring threads, a quad, have a row of an accumulator together.
#pragma once

#include <type_traits>

#include "instructions.cuh"

namespace attention {

constexpr unsigned WHOLE_WARP = 0xFFFFFFFF;
// A copy moves so many bytes, which are 8 numbers of 16 bits: a chunk.
constexpr int CHUNK = 8;

// The operand a of `multiply`: 16 rows from `tile` on, 16 columns.
template <typename T>
__device__ __forceinline__ void load_rows(unsigned (&a)[4], const T* tile, int pitch, unsigned lane) {
    load_matrices(a, shared_address(tile + lane % 16 * pitch + lane / 16 * CHUNK));
}

// Keys as the operand b of two products, 8 keys each: numbers 0 and 1 for the first, 2 and 3 for the second. A key is a row of `tile`.
template <typename T>
__device__ __forceinline__ void load_keys(unsigned (&b)[4], const T* tile, int pitch, unsigned lane) {
    load_matrices(b, shared_address(tile + (lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * CHUNK));
}

// Values of 16 keys as the operand b of two products, 8 channels each. The values of a key are a row of `tile`.
template <typename T>
__device__ __forceinline__ void load_values(unsigned (&b)[4], const T* tile, int pitch, unsigned lane) {
    load_transposed(b, shared_address(tile + lane % 16 * pitch + lane / 16 * CHUNK));
}

template <typename T> __device__ __forceinline__ unsigned pack(float low, float high) {
    if constexpr (std::is_same_v<T, __half>) {
        const __half2 both = __floats2half2_rn(low, high);
        return *reinterpret_cast<const unsigned*>(&both);
    } else {
        const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
        return *reinterpret_cast<const unsigned*>(&both);
    }
}

// 2^x by the one instruction that there is for it: two units in the last place, and no care for results below 2^-126, which are
// weights that no float32 sum would notice.
__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// The softmax of a query while its scores come in tiles: the greatest of them so far, and the sum of the weights.
struct Softmax {
    float maximum = -INFINITY;
    // In powers of two, what is subtracted from every score so that no weight is above 1. Nothing while all scores are minus infinity,
    // since the difference would be no number.
    float subtracted = 0.0f;
    float sum = 0.0f;

    // Takes the greatest score of the next tile in. Gives the factor that what was summed so far shrinks by.
    //
    // `fmaxf` passes over NaN, but a score that is NaN becomes a weight that is. The products are rounded by themselves: fused with the
    // difference they would not cancel where the maximum stays.
    __device__ __forceinline__ float raise(float highest, float scale) {
        const float before = __fmul_rn(maximum, scale);
        maximum = fmaxf(maximum, highest);
        subtracted = maximum == -INFINITY ? 0.0f : __fmul_rn(maximum, scale);
        const float shrink = exp2_fast(before - subtracted);
        sum *= shrink;
        return shrink;
    }

    // The weight of a score.
    __device__ __forceinline__ float weigh(float score, float scale) {
        const float weight = exp2_fast(fmaf(score, scale, -subtracted));
        sum += weight;
        return weight;
    }
};

__device__ __forceinline__ float quad_maximum(float x) {
    x = fmaxf(x, __shfl_xor_sync(WHOLE_WARP, x, 1));
    return fmaxf(x, __shfl_xor_sync(WHOLE_WARP, x, 2));
}

__device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(WHOLE_WARP, x, 1);
    return x + __shfl_xor_sync(WHOLE_WARP, x, 2);
}

}  // namespace attention
