// Convolutions of float16 and bfloat16 maps by Hopper's tensor cores: as conv2d_tensor.cuh, but warpgroups of four warps multiply what
// lies in shared memory by `wgmma`, which no registers have to be loaded for, and which goes on while the threads copy.
//
// Sums of 16 terms are the instruction's own; they follow each other in the order of the terms in every tile. So the bits of an
// output do not depend on the tile that it is computed in.
#pragma once

#include "conv2d_copy.cuh"
#include "conv2d_epilogue.cuh"
#include "conv2d_warpgroup_instructions.cuh"

// Terms that lie in shared memory for one step: 128 bytes of a row, whose eight chunks are in another order in each of eight rows. It is
// the layout that a `Descriptor` is of.
struct Swizzled {
    static constexpr unsigned STEP = 64;

    __device__ static unsigned place(unsigned row, unsigned chunk) { return row * STEP * 2 + (chunk ^ row % 8) * 16; }
};

// A block's part of the output, the rows of it that each warpgroup has, and the number of steps that lie in shared memory at once.
template <unsigned ROWS_, unsigned COLUMNS_, unsigned GROUP_ROWS_, unsigned STAGES_> struct WarpgroupTile {
    static constexpr unsigned ROWS = ROWS_, COLUMNS = COLUMNS_, GROUP_ROWS = GROUP_ROWS_, STAGES = STAGES_;
    static constexpr unsigned THREADS = 128 * (ROWS / GROUP_ROWS);
    static constexpr unsigned STAGE_BYTES = (ROWS + COLUMNS) * Swizzled::STEP * 2;
};

// The body of the kernels; what they are given is what `convolve` of conv2d_tensor.cuh is.
//
// At any time a step is being multiplied and the one before may be. So copies go into the stage of the second step before this one,
// whose product each warpgroup had waited for before the last barrier.
template <typename T, typename Tile>
__device__ __forceinline__ void convolve(const Map& map, const T* input, const T* weight, const Epilogue<T>& epilogue,
                                         float* partials, unsigned steps_per_split) {
    constexpr unsigned STEP = Swizzled::STEP, STAGES = Tile::STAGES, COLUMNS = Tile::COLUMNS;
    // Steps that are copied ahead of the one that is multiplied.
    constexpr unsigned AHEAD = STAGES - 2;
    // An instruction's rows, and its terms.
    constexpr unsigned ROWS = 64, TERMS = 16;
    constexpr unsigned PRODUCTS = Tile::GROUP_ROWS / ROWS;
    extern __shared__ __align__(1024) unsigned char shared[];
    const unsigned stages = unsigned(__cvta_generic_to_shared(shared));

    const uint2 first = first_of_block<Tile::ROWS, COLUMNS>(map.rows, epilogue.channels);
    const unsigned first_step = blockIdx.y * steps_per_split;
    const unsigned steps = min(steps_per_split, (map.depth() + STEP - 1) / STEP - first_step);
    ChunkedPatches<T, Swizzled, Tile::ROWS, Tile::THREADS> patches(map, input, first.x, first_step * STEP);
    ChunkedFilters<T, Swizzled, COLUMNS, Tile::THREADS> filters(weight, epilogue.channels, map.depth(), first.y,
                                                                first_step * STEP);

    // What lies behind the last step is copied too, but not used; there, most are zeros, for which nothing is read.
    auto copy = [&](unsigned step) {
        unsigned to = stages + step % STAGES * Tile::STAGE_BYTES;
        patches.copy(to);
        filters.copy(to + Tile::ROWS * STEP * 2);
        end_copies();
        patches.advance();
        filters.advance();
    };
#pragma unroll 1
    for (unsigned step = 0; step < AHEAD; step++) copy(step);

    // All threads of a warp get the same number, and the compiler knows it.
    const unsigned group = __shfl_sync(0xffffffff, threadIdx.x / 128, 0);
    float sums[PRODUCTS][COLUMNS / 8][4] = {};
#pragma unroll 1
    for (unsigned step = 0; step < steps; step++) {
        await_copies<AHEAD - 1>();
        publish_copies();
        __syncthreads();
        const unsigned stage = stages + step % STAGES * Tile::STAGE_BYTES;
        const Descriptor rows(stage + group * Tile::GROUP_ROWS * STEP * 2);
        const Descriptor columns(stage + Tile::ROWS * STEP * 2);
        begin_products();
#pragma unroll
        for (unsigned term = 0; term < STEP; term += TERMS)
#pragma unroll
            for (unsigned i = 0; i < PRODUCTS; i++)
                multiply<T, COLUMNS>(sums[i], rows.at(i * ROWS * STEP * 2 + term * 2), columns.at(term * 2));
        end_products();
        copy(step + AHEAD);
        await_products<1>();
    }
    await_products<0>();
#pragma unroll
    for (unsigned i = 0; i < PRODUCTS; i++) settle<COLUMNS>(sums[i]);

    // The stages make room for the sums.
    await_copies<0>();
    __syncthreads();
    const Sums<Tile::ROWS, COLUMNS> all{reinterpret_cast<float*>(shared)};
    const unsigned first_row = group * Tile::GROUP_ROWS + threadIdx.x / 32 % 4 * 16;
#pragma unroll
    for (unsigned i = 0; i < PRODUCTS; i++)
#pragma unroll
        for (unsigned j = 0; j < COLUMNS / 8; j++) all.put(first_row + i * ROWS, j * 8, sums[i][j]);
    __syncthreads();
    all.template finish<Tile::THREADS>(epilogue, partials, map.rows, first);
}
