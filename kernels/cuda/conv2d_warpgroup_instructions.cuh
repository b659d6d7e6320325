// Hopper's instructions that C++ has no name for: PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions".
#pragma once

#include "instructions.cuh"

// PTX ISA, "Matrix Descriptor Format": rows of 128 bytes in shared memory with the 128-byte swizzle, eight of which are a pattern that
// begins at a multiple of 1024 bytes. Address bits 4 to 6 are exchanged by bits 7 to 9, whatever address the descriptor has: going on
// along a row needs no more than adding to it.
struct Descriptor {
    // The address, in units of 16 bytes, and the distance of columns, which swizzled rows have none of: 1.
    unsigned low;

    __device__ explicit Descriptor(unsigned address) : low(address >> 4 | 1 << 16) {}

    // With the distance of a pattern to the next and the kind of swizzle: of what lies a number of bytes further on.
    __device__ unsigned long long at(unsigned bytes) const {
        constexpr unsigned PATTERN = 1024 >> 4, SWIZZLE_128 = 1u << 30;
        return (unsigned long long)(PATTERN | SWIZZLE_128) << 32 | (low + (bytes >> 4));
    }
};

// PTX ISA, "fence.proxy": lets `wgmma` see what this thread has written to shared memory.
__device__ __forceinline__ void publish_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// PTX ISA, "wgmma.fence": what the registers of sums hold is settled.
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

// PTX ISA, "wgmma.commit_group".
__device__ __forceinline__ void end_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// PTX ISA, "wgmma.wait_group": for all groups of products but the latest `PENDING`.
template <unsigned PENDING> __device__ __forceinline__ void await_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

// The registers of the sums that a thread has of so many columns, as text and as operands.
#define REGISTERS_32 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define REGISTERS_64 REGISTERS_32 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define REGISTERS_128 REGISTERS_64 \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
    ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define REGISTERS_160 REGISTERS_128 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define SUMS_8(J) "+f"(sums[J][0]), "+f"(sums[J][1]), "+f"(sums[J][2]), "+f"(sums[J][3])
#define SUMS_32(J) SUMS_8(J), SUMS_8(J + 1), SUMS_8(J + 2), SUMS_8(J + 3)
#define SUMS_64(J) SUMS_32(J), SUMS_32(J + 4)
#define SUMS_128(J) SUMS_64(J), SUMS_64(J + 8)
#define SUMS_160(J) SUMS_128(J), SUMS_32(J + 16)

// PTX ISA, "wgmma.mma_async", m64nNk16: begins to add the products of 64 rows and N columns, both of 16 terms that follow each other
// in shared memory, to the sums of this thread's warpgroup. A warp has 16 of the rows, and its lanes what they have in `mma.sync`.
// Nothing may touch the sums before they were waited for. `ROWS` and `COLUMNS` are the numbers of the operands that follow the sums.
template <typename T, unsigned N>
__device__ void multiply(float (&sums)[N / 8][4], unsigned long long rows, unsigned long long columns);
#define MULTIPLY(T, TYPE, N, ROWS, COLUMNS)                                                                           \
    template <>                                                                                                       \
    __device__ __forceinline__ void multiply<T, N>(float (&sums)[N / 8][4], unsigned long long rows,                  \
                                                   unsigned long long columns) {                                      \
        asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." #TYPE "." #TYPE " {" REGISTERS_##N "}, %" #ROWS  \
                     ", %" #COLUMNS ", 1, 1, 1, 0, 0;"                                                                \
                     : SUMS_##N(0)                                                                                    \
                     : "l"(rows), "l"(columns));                                                                      \
    }
#define MULTIPLY_BOTH(N, ROWS, COLUMNS)                                                                               \
    MULTIPLY(__half, f16, N, ROWS, COLUMNS)                                                                           \
    MULTIPLY(__nv_bfloat16, bf16, N, ROWS, COLUMNS)
MULTIPLY_BOTH(32, 16, 17)
MULTIPLY_BOTH(64, 32, 33)
MULTIPLY_BOTH(128, 64, 65)
MULTIPLY_BOTH(160, 80, 81)

// What was waited for is read no earlier: the compiler does not know when a register gets its sum.
template <unsigned N> __device__ __forceinline__ void settle(float (&sums)[N / 8][4]) {
#pragma unroll
    for (unsigned j = 0; j < N / 8; j++) asm volatile("" : SUMS_8(j)::"memory");
}
