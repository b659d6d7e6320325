// Convolutions of float32 maps, which are there to be compared with: in full precision, without tensor cores.
#pragma once

#include "conv2d_epilogue.cuh"
#include "conv2d_map.cuh"

// The tile of a block, and how many terms lie in shared memory. A thread has sums of each sixteenth row and column.
constexpr unsigned SIDE = 64;
constexpr unsigned TERMS = 32;
constexpr unsigned FLOAT_THREADS = 256;
constexpr unsigned EACH = 4;

// As `convolve` in conv2d_tensor.cuh. A sum is one chain of fused multiply-adds in the order of the terms.
__device__ __forceinline__ void convolve_floats(const Map& map, const float* input, const float* weight,
                                                const Epilogue<float>& epilogue, float* partials, unsigned steps_per_split) {
    // One more term than there are, so that a term of all rows lies on different banks.
    __shared__ float patches[SIDE][TERMS + 1], filters[SIDE][TERMS + 1];
    extern __shared__ __align__(128) unsigned char shared[];

    const uint2 first = first_of_block<SIDE, SIDE>(map.rows, epilogue.channels);
    const unsigned depth = map.depth();
    const unsigned begin = blockIdx.y * steps_per_split * TERMS;
    const unsigned end = min(depth, begin + steps_per_split * TERMS);
    // A warp copies a row of terms at a time.
    constexpr unsigned WARPS = FLOAT_THREADS / TERMS;
    const unsigned lane = threadIdx.x % TERMS, warp = threadIdx.x / TERMS;
    Corner corners[SIDE / WARPS];
#pragma unroll
    for (unsigned i = 0; i < SIDE / WARPS; i++) corners[i] = Corner(map, first.x + warp + i * WARPS);

    const unsigned x = threadIdx.x % 16, y = threadIdx.x / 16;
    float sums[EACH][EACH] = {};
    for (unsigned at = begin; at < end; at += TERMS) {
        const Term term(map, at + lane);
#pragma unroll
        for (unsigned i = 0; i < SIDE / WARPS; i++) {
            unsigned row = warp + i * WARPS;
            int pixel = corners[i].pixel(map, term);
            patches[row][lane] = pixel < 0 ? 0.0f : input[unsigned(pixel) + term.channel];
            bool there = first.y + row < epilogue.channels && at + lane < depth;
            filters[row][lane] = there ? weight[(first.y + row) * depth + at + lane] : 0.0f;
        }
        __syncthreads();
#pragma unroll 8
        for (unsigned k = 0; k < TERMS; k++) {
            float a[EACH], b[EACH];
#pragma unroll
            for (unsigned i = 0; i < EACH; i++) {
                a[i] = patches[y + 16 * i][k];
                b[i] = filters[x + 16 * i][k];
            }
#pragma unroll
            for (unsigned i = 0; i < EACH; i++)
#pragma unroll
                for (unsigned j = 0; j < EACH; j++) sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
        }
        __syncthreads();
    }

    const Sums<SIDE, SIDE> all{reinterpret_cast<float*>(shared)};
#pragma unroll
    for (unsigned i = 0; i < EACH; i++)
#pragma unroll
        for (unsigned j = 0; j < EACH; j++) *all.at(y + 16 * i, x + 16 * j) = sums[i][j];
    __syncthreads();
    all.template finish<FLOAT_THREADS>(epilogue, partials, map.rows, first);
}
