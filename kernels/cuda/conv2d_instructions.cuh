// Sixteen bytes, and the instructions that C++ has no name for.
#pragma once

#include "activation.cuh"

// Sixteen bytes of elements.
template <typename T> struct alignas(16) Chunk {
    T elements[16 / sizeof(T)];
};

// PTX ISA, "cp.async": 16 bytes, or as many zeros, to shared memory. Nothing is read for zeros.
template <typename T> __device__ __forceinline__ void copy_chunk(unsigned to, const T* from, bool zeros) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;"
                 ::"r"(to), "l"(__cvta_generic_to_global(from)), "r"(zeros ? 0 : 16));
}

// PTX ISA, "cp.async.commit_group".
__device__ __forceinline__ void end_copies() { asm volatile("cp.async.commit_group;"); }

// PTX ISA, "cp.async.wait_group": for all groups of this thread's copies but the latest `PENDING`.
template <unsigned PENDING> __device__ __forceinline__ void await_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING));
}

// PTX ISA, "ldmatrix": four matrices of 8x8 elements; the lanes' addresses are those of their rows.
__device__ __forceinline__ void load_matrices(unsigned (&to)[4], unsigned from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from));
}

// PTX ISA, "Matrix multiply-accumulate", m16n8k16: adds to 16x8 sums.
template <typename T> __device__ void multiply(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
template <>
__device__ __forceinline__ void multiply<__half>(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void
multiply<__nv_bfloat16>(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Writes a chunk at an address in shared memory.
template <typename T> __device__ __forceinline__ void write_chunk(unsigned to, const Chunk<T>& chunk) {
    const uint4& words = reinterpret_cast<const uint4&>(chunk);
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(words.x), "r"(words.y), "r"(words.z),
                 "r"(words.w)
                 : "memory");
}
