// What follows the sums of a convolution.
#pragma once

#include "vector.cuh"

// Channels of a row that one thread finishes: 16 bytes of two-byte elements.
constexpr int CHANNELS = 8;

// Channels `channel..channel + 8` of a line of `channels`, those that there are. Whole vectors are read where all lines begin at
// multiples of 16 bytes.
template <typename T>
__device__ __forceinline__ void
load_channels(const T* line, unsigned channel, unsigned channels, float (&values)[CHANNELS]) {
    if (channels % CHANNELS == 0) {
#pragma unroll
        for (int i = 0; i < CHANNELS; i += WIDE<T>) {
            float part[WIDE<T>];
            load(line + channel + i, part);
#pragma unroll
            for (int j = 0; j < WIDE<T>; j++) values[i + j] = part[j];
        }
    } else {
#pragma unroll
        for (int i = 0; i < CHANNELS; i++) values[i] = channel + i < channels ? to_float(line[channel + i]) : 0.0f;
    }
}

// Writes what `load_channels` reads.
template <typename T>
__device__ __forceinline__ void
store_channels(T* line, unsigned channel, unsigned channels, const float (&values)[CHANNELS]) {
    if (channels % CHANNELS == 0) {
#pragma unroll
        for (int i = 0; i < CHANNELS; i += WIDE<T>) {
            float part[WIDE<T>];
#pragma unroll
            for (int j = 0; j < WIDE<T>; j++) part[j] = values[i + j];
            store(line + channel + i, part);
        }
    } else {
#pragma unroll
        for (int i = 0; i < CHANNELS; i++)
            if (channel + i < channels) line[channel + i] = from_float<T>(values[i]);
    }
}

// Makes a layer's outputs of its sums.
template <typename T> struct Epilogue {
    // (channels), or null.
    const float* bias;
    // (rows, channels), or (images, channels) if each of an image's `positions` gets the same; or null.
    const T* addend;
    unsigned per_channel, positions;
    unsigned activation;
    unsigned channels;
    // (rows, channels)
    T* output;

    // Finishes the sums of some neighbouring channels of a row: all in float32, and rounded once.
    __device__ void finish(unsigned row, unsigned channel, float (&sums)[CHANNELS]) const {
        float more[CHANNELS];
        if (bias != nullptr) {
            load_channels(bias, channel, channels, more);
#pragma unroll
            for (int i = 0; i < CHANNELS; i++) sums[i] += more[i];
        }
        if (addend != nullptr) {
            unsigned line = per_channel ? row / positions : row;
            load_channels(addend + size_t(line) * channels, channel, channels, more);
#pragma unroll
            for (int i = 0; i < CHANNELS; i++) sums[i] += more[i];
        }
        activate(sums, activation);
        store_channels(output + size_t(row) * channels, channel, channels, sums);
    }
};

// A block's sums in shared memory. A thread holds sums of several rows, but reads and writes of global memory have to be of
// neighbouring channels; so the sums change hands here.
template <unsigned ROWS, unsigned COLUMNS> struct Sums {
    float* shared;

    // Neighbouring groups of eight columns change places by the row: else all rows would lie on the same banks.
    __device__ float* at(unsigned row, unsigned column) const {
        return shared + row * COLUMNS + (column ^ row % 4 * CHANNELS);
    }

    // Brings what a lane has of 16 rows and 8 columns, as the instructions of the tensor cores deal them out.
    __device__ void put(unsigned row, unsigned column, const float (&sums)[4]) const {
        const unsigned lane = threadIdx.x % 32;
#pragma unroll
        for (unsigned half = 0; half < 2; half++) {
            float* to = at(row + half * 8 + lane / 4, column + lane % 4 * 2);
            *reinterpret_cast<float2*>(to) = make_float2(sums[half * 2], sums[half * 2 + 1]);
        }
    }

    // Once all sums are here: finishes them, or, if the block has only a part of each, writes them to their place in `partials`,
    // (splits, rows, channels), which is null otherwise.
    template <unsigned THREADS, typename T>
    __device__ void finish(const Epilogue<T>& epilogue, float* partials, unsigned rows, uint2 first) const {
        constexpr unsigned GROUPS = COLUMNS / CHANNELS;
#pragma unroll 1
        for (unsigned i = threadIdx.x; i < ROWS * GROUPS; i += THREADS) {
            unsigned row = i / GROUPS, column = i % GROUPS * CHANNELS;
            if (first.x + row >= rows || first.y + column >= epilogue.channels) continue;
            float sums[CHANNELS];
            load_channels(at(row, column), 0, CHANNELS, sums);
            if (partials == nullptr) {
                epilogue.finish(first.x + row, first.y + column, sums);
            } else {
                float* line = partials + (size_t(blockIdx.y) * rows + first.x + row) * epilogue.channels;
                store_channels(line, first.y + column, epilogue.channels, sums);
            }
        }
    }
};

// The first row and column of a block's tile. Eight tiles below each other come before the next eight at their right, so that the
// blocks that run at the same time share both rows and columns, and find them in the L2 cache.
template <unsigned ROWS, unsigned COLUMNS> __device__ uint2 first_of_block(unsigned rows, unsigned columns) {
    constexpr unsigned GROUP = 8;
    unsigned down = (rows + ROWS - 1) / ROWS, across = (columns + COLUMNS - 1) / COLUMNS;
    unsigned group = blockIdx.x / (GROUP * across), within = blockIdx.x % (GROUP * across);
    unsigned height = min(GROUP, down - group * GROUP);
    return make_uint2((group * GROUP + within % height) * ROWS, within / height * COLUMNS);
}
