// Convolutions of float16 and bfloat16 maps by the tensor cores: a product of a matrix of patches, which is gathered on the way to
// shared memory, with the filters.
//
// Sums of 16 terms are the instruction's own; they follow each other in the order of the terms in every tile. So the bits of an
// output do not depend on the tile that it is computed in.
#pragma once

#include "conv2d_copy.cuh"
#include "conv2d_epilogue.cuh"

// Terms that lie in shared memory for one step: 64 bytes of a row. Of two neighbouring rows, which fill the 32 banks, each pair has its
// chunks in another order: so `ldmatrix` finds a chunk of eight rows in eight places.
struct PairedRows {
    static constexpr unsigned STEP = 32;

    __device__ static unsigned place(unsigned row, unsigned chunk) { return row * STEP * 2 + (chunk ^ row / 2 % 4) * 16; }
};
constexpr unsigned STEP = PairedRows::STEP;

// A block's part of the output, the part of it that each warp has, and the number of steps that lie in shared memory at once.
template <unsigned ROWS_, unsigned COLUMNS_, unsigned WARP_ROWS_, unsigned WARP_COLUMNS_, unsigned STAGES_> struct Tile {
    static constexpr unsigned ROWS = ROWS_, COLUMNS = COLUMNS_;
    static constexpr unsigned WARP_ROWS = WARP_ROWS_, WARP_COLUMNS = WARP_COLUMNS_;
    static constexpr unsigned STAGES = STAGES_;
    static constexpr unsigned THREADS = 32 * (ROWS / WARP_ROWS) * (COLUMNS / WARP_COLUMNS);
    static constexpr unsigned STAGE_BYTES = (ROWS + COLUMNS) * STEP * 2;
};

// What a warp multiplies at once: 16 terms of its rows and columns.
template <unsigned WARP_ROWS, unsigned WARP_COLUMNS> struct Fragments {
    unsigned rows[WARP_ROWS / 16][4];
    unsigned columns[WARP_COLUMNS / 16][4];

    // Reads the terms `half * 16..half * 16 + 16` of a step. `patches` and `filters` are what `row_place` and `column_place` give,
    // in the step's stage. Half of a step is two chunks: swizzling leaves them two apart.
    __device__ void load(unsigned patches, unsigned filters, unsigned half) {
#pragma unroll
        for (unsigned i = 0; i < WARP_ROWS / 16; i++) load_matrices(rows[i], (patches ^ half * 32) + i * 16 * STEP * 2);
#pragma unroll
        for (unsigned i = 0; i < WARP_COLUMNS / 16; i++)
            load_matrices(columns[i], (filters ^ half * 32) + i * 16 * STEP * 2);
    }

    // The row and chunk that a lane points to: of patches, rows 0..16 of the first chunk come before those of the second;
    __device__ static unsigned row_place(unsigned lane, unsigned first) { return PairedRows::place(first + lane % 16, lane / 16); }
    // of filters, both chunks of rows 0..8 come before those of rows 8..16.
    __device__ static unsigned column_place(unsigned lane, unsigned first) {
        return PairedRows::place(first + lane % 8 + lane / 16 * 8, lane / 8 % 2);
    }

    template <typename T> __device__ void multiply_into(float (&sums)[WARP_ROWS / 16][WARP_COLUMNS / 8][4]) const {
#pragma unroll
        for (unsigned i = 0; i < WARP_ROWS / 16; i++)
#pragma unroll
            for (unsigned j = 0; j < WARP_COLUMNS / 8; j++)
                multiply<T>(sums[i][j], rows[i], columns[j / 2][j % 2 * 2], columns[j / 2][j % 2 * 2 + 1]);
    }
};

// The body of the kernels. A block whose sums are whole is given null for `partials`; else these are (splits, rows, filters), and
// blocks with the number y in the grid's second direction take the steps from `y * steps_per_split` on.
template <typename T, typename Tile, template <typename, typename, unsigned, unsigned> class Patches,
          template <typename, typename, unsigned, unsigned> class Filters>
__device__ __forceinline__ void convolve(const Map& map, const T* input, const T* weight, const Epilogue<T>& epilogue,
                                         float* partials, unsigned steps_per_split) {
    constexpr unsigned STAGES = Tile::STAGES, ROWS = Tile::WARP_ROWS, COLUMNS = Tile::WARP_COLUMNS;
    extern __shared__ __align__(128) unsigned char shared[];
    const unsigned stages = unsigned(__cvta_generic_to_shared(shared));

    const uint2 first = first_of_block<Tile::ROWS, Tile::COLUMNS>(map.rows, epilogue.channels);
    const unsigned first_step = blockIdx.y * steps_per_split;
    const unsigned steps = min(steps_per_split, (map.depth() + STEP - 1) / STEP - first_step);
    Patches<T, PairedRows, Tile::ROWS, Tile::THREADS> patches(map, input, first.x, first_step * STEP);
    Filters<T, PairedRows, Tile::COLUMNS, Tile::THREADS> filters(weight, epilogue.channels, map.depth(), first.y,
                                                                 first_step * STEP);

    // What lies behind the last step is copied too, but not used; there, most are zeros, for which nothing is read.
    auto copy = [&](unsigned step) {
        unsigned to = stages + step % STAGES * Tile::STAGE_BYTES;
        patches.copy(to);
        filters.copy(to + Tile::ROWS * STEP * 2);
        end_copies();
    };
    auto advance = [&] {
        patches.advance();
        filters.advance();
    };
    copy(0);
#pragma unroll 1
    for (unsigned step = 1; step < STAGES - 1; step++) {
        advance();
        copy(step);
    }

    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned warp_row = warp / (Tile::COLUMNS / COLUMNS) * ROWS;
    const unsigned warp_column = warp % (Tile::COLUMNS / COLUMNS) * COLUMNS;
    using Warp = Fragments<ROWS, COLUMNS>;
    const unsigned row_place = stages + Warp::row_place(lane, warp_row);
    const unsigned column_place = stages + Tile::ROWS * STEP * 2 + Warp::column_place(lane, warp_column);
    float sums[ROWS / 16][COLUMNS / 8][4] = {};
    // Both halves of a step: one is read while the other is multiplied.
    Warp halves[2];

    await_copies<STAGES - 2>();
    __syncthreads();
    halves[0].load(row_place, column_place, 0);
#pragma unroll 1
    for (unsigned step = 0; step < steps; step++) {
        advance();
        unsigned stage = step % STAGES * Tile::STAGE_BYTES;
        halves[1].load(row_place + stage, column_place + stage, 1);
        // Into the stage that all warps had read before the last barrier.
        copy(step + STAGES - 1);
        halves[0].template multiply_into<T>(sums);
        // Now the next step is there, and this step's stage is free. After the last step, what is read is not used.
        await_copies<STAGES - 2>();
        __syncthreads();
        stage = (step + 1) % STAGES * Tile::STAGE_BYTES;
        halves[0].load(row_place + stage, column_place + stage, 0);
        halves[1].template multiply_into<T>(sums);
    }

    // The stages make room for the sums.
    await_copies<0>();
    __syncthreads();
    const Sums<Tile::ROWS, Tile::COLUMNS> all{reinterpret_cast<float*>(shared)};
#pragma unroll
    for (unsigned i = 0; i < ROWS / 16; i++)
#pragma unroll
        for (unsigned j = 0; j < COLUMNS / 8; j++) all.put(warp_row + i * 16, warp_column + j * 8, sums[i][j]);
    __syncthreads();
    all.template finish<Tile::THREADS>(epilogue, partials, map.rows, first);
}
