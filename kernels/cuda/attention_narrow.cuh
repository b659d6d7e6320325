// Attention on tensor cores for heads of up to 160 channels, a multiple of 8: FlashAttention-2 (Dao 2023), with the softmax online
// (Milakov and Gimelshein 2018).
#pragma once

#include "attention_warp.cuh"

namespace attention {

constexpr int NARROW_WARPS = 4;

// How a block's work is cut for heads of up to `WIDTH` channels.
//
// A warp keeps its queries, their scores and the sums of the values in registers. Two strips of 16 queries halve what it reads of the
// keys and values from shared memory, which with one strip takes as long as the products; above 80 channels there are registers for one.
template <int WIDTH> struct Narrow {
    static_assert(WIDTH % CHUNK == 0);
    static constexpr int STRIPS = WIDTH <= 80 ? 2 : 1;
    static constexpr int KEYS = WIDTH <= 64 ? 64 : 32;
    // Blocks that a multiprocessor has registers for: 3 with up to 168 for a thread, 2 with up to 255.
    static constexpr int BLOCKS = WIDTH == 40 ? 3 : 2;
    // Products over 16 channels that make a score. Channels that are not there are zeros.
    static constexpr int STEPS = (WIDTH + 15) / 16;
    // Numbers from row to row in shared memory. An odd number of chunks, so that 8 rows lie in different banks.
    static constexpr int PITCH = STEPS * 16 + CHUNK;
    // Threads that copy a row: one for each chunk, and as many as make a power of two.
    static constexpr int COPIERS = STEPS <= 1 ? 2 : STEPS <= 2 ? 4 : STEPS <= 4 ? 8 : STEPS <= 8 ? 16 : 32;
};

// Begins to copy a tile of keys and the tile of their values.
template <typename T, int WIDTH>
__device__ __forceinline__ void copy_tiles(
    T* key_tile, T* value_tile, const T* k, const T* v, unsigned first, unsigned keys, unsigned stride, unsigned width) {
    using Cut = Narrow<WIDTH>;
    constexpr int ROWS = NARROW_WARPS * 32 / Cut::COPIERS;
    const unsigned row = threadIdx.x / Cut::COPIERS, channel = threadIdx.x % Cut::COPIERS * CHUNK;
    if (channel >= Cut::STEPS * 16) return;
    const size_t from = static_cast<size_t>(first + row) * stride + channel;
    const unsigned to = row * Cut::PITCH + channel;
#pragma unroll
    for (unsigned i = 0; i < Cut::KEYS; i += ROWS) {
        const bool there = first + row + i < keys && channel < width;
        copy_chunk(shared_address(key_tile + to + i * Cut::PITCH), k + from + i * stride, there);
        copy_chunk(shared_address(value_tile + to + i * Cut::PITCH), v + from + i * stride, there);
    }
}

// The queries of a thread's warp as operands of `multiply`, with zeros for those that are not there.
template <typename T, int WIDTH, int STRIPS = Narrow<WIDTH>::STRIPS, int STEPS = Narrow<WIDTH>::STEPS>
__device__ __forceinline__ void load_queries(
    unsigned (&query)[STRIPS][STEPS][4], const T* q, unsigned first, unsigned queries, unsigned stride, unsigned width) {
#pragma unroll
    for (int strip = 0; strip < STRIPS; strip++) {
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const unsigned row = first + strip * 16 + i % 2 * 8;
                const unsigned channel = step * 16 + i / 2 * 8 + threadIdx.x % 4 * 2;
                const bool there = row < queries && channel < width;
                const T* from = q + static_cast<size_t>(row) * stride + channel;
                query[strip][step][i] = there ? *reinterpret_cast<const unsigned*>(from) : 0;
            }
        }
    }
}

// The products of queries and a tile of keys.
template <typename T, int WIDTH, int STRIPS, int STEPS, int GROUPS>
__device__ __forceinline__ void add_scores(
    float (&score)[STRIPS][GROUPS][4], const unsigned (&query)[STRIPS][STEPS][4], const T* tile) {
    constexpr int PITCH = Narrow<WIDTH>::PITCH;
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
#pragma unroll
        for (int group = 0; group < GROUPS; group += 2) {
            unsigned key[4];
            load_keys(key, tile + group * 8 * PITCH + step * 16, PITCH, threadIdx.x % 32);
#pragma unroll
            for (int strip = 0; strip < STRIPS; strip++) {
                multiply<T>(score[strip][group], query[strip][step], key[0], key[1]);
                multiply<T>(score[strip][group + 1], query[strip][step], key[2], key[3]);
            }
        }
    }
}

// Scores of keys that are not there become minus infinity.
template <int STRIPS, int GROUPS>
__device__ __forceinline__ void mask_scores(float (&score)[STRIPS][GROUPS][4], unsigned keys_there) {
#pragma unroll
    for (int i = 0; i < GROUPS * 4; i++) {
        if (i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2 < keys_there) continue;
#pragma unroll
        for (int strip = 0; strip < STRIPS; strip++) score[strip][i / 4][i % 4] = -INFINITY;
    }
}

// Makes weights of the scores of one row, elements `first` and `first` + 1 of each group, and shrinks the row's sums accordingly.
template <int GROUPS, int VALUES>
__device__ __forceinline__ void weigh_row(
    float (&score)[GROUPS][4], float (&values)[VALUES][4], int first, Softmax& softmax, float scale) {
    float highest = -INFINITY;
#pragma unroll
    for (int i = 0; i < GROUPS; i++) highest = fmaxf(highest, fmaxf(score[i][first], score[i][first + 1]));
    const float shrink = softmax.raise(quad_maximum(highest), scale);
#pragma unroll
    for (int i = 0; i < VALUES * 2; i++) values[i / 2][first + i % 2] *= shrink;
#pragma unroll
    for (int i = 0; i < GROUPS * 2; i++) {
        float& x = score[i / 2][first + i % 2];
        x = softmax.weigh(x, scale);
    }
}

// Adds the weighted values of a tile. The scores of two groups of 8 keys lie in the threads as this product wants its weights.
template <typename T, int WIDTH, int STRIPS, int GROUPS>
__device__ __forceinline__ void add_values(
    float (&values)[STRIPS][WIDTH / 8][4], const float (&weight)[STRIPS][GROUPS][4], const T* tile) {
    constexpr int PITCH = Narrow<WIDTH>::PITCH;
#pragma unroll
    for (int group = 0; group < GROUPS; group += 2) {
        unsigned packed[STRIPS][4];
#pragma unroll
        for (int i = 0; i < STRIPS * 4; i++) {
            const float* two = &weight[i / 4][group + i % 4 / 2][i % 2 * 2];
            packed[i / 4][i % 4] = pack<T>(two[0], two[1]);
        }
#pragma unroll
        for (int channel = 0; channel < WIDTH; channel += 16) {
            unsigned value[4];
            load_values(value, tile + group * 8 * PITCH + channel, PITCH, threadIdx.x % 32);
#pragma unroll
            for (int strip = 0; strip < STRIPS; strip++) {
                multiply<T>(values[strip][channel / 8], packed[strip], value[0], value[1]);
                if (channel + 8 < WIDTH) {
                    multiply<T>(values[strip][channel / 8 + 1], packed[strip], value[2], value[3]);
                }
            }
        }
    }
}

// Block (x, y, z) computes queries from x * NARROW_WARPS * STRIPS * 16 on, of head y and batch row z.
template <typename T, int WIDTH>
__device__ __forceinline__ void narrow(
    const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, T* __restrict__ out,
    unsigned queries, unsigned keys, unsigned heads, unsigned width, float scale) {
    using Cut = Narrow<WIDTH>;
    constexpr int STRIPS = Cut::STRIPS, KEYS = Cut::KEYS;
    // Of each, the tile that is worked on and the one that comes after it.
    __shared__ alignas(16) T key_tiles[2][KEYS * Cut::PITCH];
    __shared__ alignas(16) T value_tiles[2][KEYS * Cut::PITCH];
    const unsigned stride = heads * width;
    const unsigned head = blockIdx.y * width;
    const size_t batch = blockIdx.z;
    k += batch * keys * stride + head;
    v += batch * keys * stride + head;
    // This thread's first; the others come 8 by 8.
    const unsigned first_query = (blockIdx.x * NARROW_WARPS + threadIdx.x / 32) * STRIPS * 16 + threadIdx.x % 32 / 4;

    copy_tiles<T, WIDTH>(key_tiles[0], value_tiles[0], k, v, 0, keys, stride, width);
    end_copies();
    unsigned query[STRIPS][Cut::STEPS][4];
    load_queries<T, WIDTH>(query, q + batch * queries * stride + head, first_query, queries, stride, width);

    // Of a strip, a thread has rows lane / 4 and lane / 4 + 8. The sums of weights are of its own columns until the end.
    float values[STRIPS][WIDTH / 8][4] = {};
    Softmax softmax[STRIPS][2];
    for (unsigned first_key = 0, stage = 0; first_key < keys; first_key += KEYS, stage ^= 1) {
        // After the barrier this tile is there for all, and nobody reads the one before it any more.
        await_copies<0>();
        __syncthreads();
        if (first_key + KEYS < keys) {
            copy_tiles<T, WIDTH>(
                key_tiles[stage ^ 1], value_tiles[stage ^ 1], k, v, first_key + KEYS, keys, stride, width);
            end_copies();
        }
        float score[STRIPS][KEYS / 8][4] = {};
        add_scores<T, WIDTH>(score, query, key_tiles[stage]);
        if (first_key + KEYS > keys) mask_scores(score, keys - first_key);
#pragma unroll
        for (int i = 0; i < STRIPS * 2; i++) {
            weigh_row(score[i / 2], values[i / 2], i % 2 * 2, softmax[i / 2][i % 2], scale);
        }
        add_values<T, WIDTH>(values, score, value_tiles[stage]);
    }

#pragma unroll
    for (int i = 0; i < STRIPS * 2; i++) {
        const float inverse = 1.0f / quad_sum(softmax[i / 2][i % 2].sum);
        const unsigned row = first_query + i * 8;
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j++) {
            if (row >= queries || j * 8 >= width) break;
            const float* two = &values[i / 2][j][i % 2 * 2];
            const unsigned channel = j * 8 + threadIdx.x % 4 * 2;
            T* to = out + (batch * queries + row) * stride + head + channel;
            *reinterpret_cast<unsigned*>(to) = pack<T>(two[0] * inverse, two[1] * inverse);
        }
    }
}

}  // namespace attention
