// What the attention kernels share: a warp's matrix products, the copies that feed them, and the exponentials of the softmax.
//
// The layouts are those of the PTX ISA, "Matrix Fragments for mma.m16n8k16" and "ldmatrix". In an accumulator of 16 rows and 8 columns
// a thread has row lane / 4 (elements 0 and 1) and the row 8 below it (2 and 3), columns lane % 4 * 2 and the next one; four
// neighbouring threads, a quad, have a row together.
#pragma once

#include <type_traits>

#include "activation.cuh"

namespace attention {

constexpr unsigned WHOLE_WARP = 0xFFFFFFFF;
// A copy moves so many bytes, which are 8 numbers of 16 bits: a chunk.
constexpr int CHUNK = 8;

// sum += a b, where a has 16 rows of 16 numbers, and b 16 rows of 8.
template <typename T>
__device__ __forceinline__ void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    if constexpr (std::is_same_v<T, __half>) {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    } else {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
}

__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

// Four matrices of 8 rows of 16 bytes; the row that a lane names belongs to matrix lane / 8.
__device__ __forceinline__ void load_matrices(unsigned (&matrices)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// The same with each matrix transposed.
__device__ __forceinline__ void load_transposed(unsigned (&matrices)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// The operand a of `multiply`: 16 rows from `tile` on, 16 columns.
template <typename T>
__device__ __forceinline__ void load_rows(unsigned (&a)[4], const T* tile, int pitch, unsigned lane) {
    load_matrices(a, tile + lane % 16 * pitch + lane / 16 * CHUNK);
}

// Keys as the operand b of two products, 8 keys each: numbers 0 and 1 for the first, 2 and 3 for the second. A key is a row of `tile`.
template <typename T>
__device__ __forceinline__ void load_keys(unsigned (&b)[4], const T* tile, int pitch, unsigned lane) {
    load_matrices(b, tile + (lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * CHUNK);
}

// Values of 16 keys as the operand b of two products, 8 channels each. The values of a key are a row of `tile`.
template <typename T>
__device__ __forceinline__ void load_values(unsigned (&b)[4], const T* tile, int pitch, unsigned lane) {
    load_transposed(b, tile + lane % 16 * pitch + lane / 16 * CHUNK);
}

// Begins to copy a chunk from global to shared memory, past the registers; zeros where there is none to copy.
__device__ __forceinline__ void copy_chunk(void* to, const void* from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(to)), "l"(from), "r"(there ? 16 : 0)
                 : "memory");
}

// Ends a group of copies.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most the `LATER` youngest of this thread's groups are still under way.
template <int LATER> __device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LATER) : "memory");
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
