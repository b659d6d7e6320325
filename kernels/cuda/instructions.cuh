// Instructions of the tensor cores, and of copies to shared memory, that C++ has no name for. Devices of compute capability 8.0 and later
// have them.
#pragma once

#include "activation.cuh"

// Where something lies in shared memory, as instructions take it.
__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return unsigned(__cvta_generic_to_shared(pointer));
}

// PTX ISA, "cp.async": 16 bytes past the registers to shared memory, or as many zeros, for which nothing is read.
__device__ __forceinline__ void copy_chunk(unsigned to, const void* from, bool there) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;"
                 ::"r"(to), "l"(__cvta_generic_to_global(from)), "r"(there ? 16 : 0)
                 : "memory");
}

// PTX ISA, "cp.async.commit_group".
__device__ __forceinline__ void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// PTX ISA, "cp.async.wait_group": for all groups of this thread's copies but the latest `PENDING`.
template <unsigned PENDING> __device__ __forceinline__ void await_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// PTX ISA, "ldmatrix": four matrices of 8 rows of 16 bytes; the row that a lane names belongs to matrix lane / 8.
__device__ __forceinline__ void load_matrices(unsigned (&to)[4], unsigned row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row)
                 : "memory");
}

// The same with each matrix transposed.
__device__ __forceinline__ void load_transposed(unsigned (&to)[4], unsigned row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row)
                 : "memory");
}

// PTX ISA, "Matrix Fragments for mma.m16n8k16": adds to 16x8 sums the products of 16 rows and 8 columns of 16 terms. A lane has sums of row
// lane / 4 (0 and 1) and of the row 8 below it (2 and 3), in the columns lane % 4 * 2 and the next one.
template <typename T> __device__ void multiply(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
#define MULTIPLY(T, TYPE)                                                                                             \
    template <>                                                                                                       \
    __device__ __forceinline__ void multiply<T>(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) { \
        asm("mma.sync.aligned.m16n8k16.row.col.f32." #TYPE "." #TYPE                                                  \
            ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                                    \
            : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])                                              \
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                                          \
    }
MULTIPLY(__half, f16)
MULTIPLY(__nv_bfloat16, bf16)
#undef MULTIPLY
