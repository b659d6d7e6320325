// Attention on tensor cores for heads of up to 512 channels, a multiple of 8: the autoencoder's.
//
// No warp has registers for 16 queries of that width. So the warps of a block share 64 queries: in the first product each has the scores
// of 16 queries with 16 keys, and in the second each has 64 channels of all the queries, for which the weights go through shared memory.
#pragma once

#include "attention_warp.cuh"

namespace attention {

constexpr int WIDE_WARPS = 8, WIDE_QUERIES = 64, WIDE_KEYS = 32, WIDE_WIDTH = 512;
// Numbers from row to row: an odd number of chunks, so that 8 rows lie in different banks.
constexpr int WIDE_PITCH = WIDE_WIDTH + CHUNK, WEIGHT_PITCH = WIDE_KEYS + CHUNK;

// What a block has in shared memory: about 138 KiB.
template <typename T> struct alignas(16) Wide {
    T queries[WIDE_QUERIES * WIDE_PITCH];
    T keys[WIDE_KEYS * WIDE_PITCH];
    T values[WIDE_KEYS * WIDE_PITCH];
    T weights[WIDE_QUERIES * WEIGHT_PITCH];
    // Of each query, one number for either half of a tile of keys: the greatest score, and at the end the sum of the weights.
    float2 halves[WIDE_QUERIES];
};
static_assert(sizeof(Wide<__half>) == 138752, "src/plan/attention.rs has the same number");

// Begins to copy rows, with zeros up to a multiple of 16 channels.
template <typename T, int ROWS>
__device__ __forceinline__ void copy_wide(
    T* tile, const T* rows, unsigned first, unsigned count, unsigned stride, unsigned width) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (unsigned channel = lane * CHUNK; channel < (width + 15) / 16 * 16; channel += 32 * CHUNK) {
        for (unsigned row = warp; row < ROWS; row += WIDE_WARPS) {
            const bool there = first + row < count && channel < width;
            const T* from = rows + static_cast<size_t>(first + row) * stride + channel;
            copy_chunk(shared_address(tile + row * WIDE_PITCH + channel), from, there);
        }
    }
}

// Block (x, y, z) computes queries from x * WIDE_QUERIES on, of head y and batch row z.
template <typename T>
__device__ __forceinline__ void wide(
    const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, T* __restrict__ out,
    unsigned queries, unsigned keys, unsigned heads, unsigned width, float scale) {
    extern __shared__ uint4 shared_bytes[];
    Wide<T>& shared = *reinterpret_cast<Wide<T>*>(shared_bytes);
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned stride = heads * width;
    const unsigned head = blockIdx.y * width;
    const size_t batch = blockIdx.z;
    q += batch * queries * stride + head;
    k += batch * keys * stride + head;
    v += batch * keys * stride + head;
    out += batch * queries * stride + head;
    const unsigned first_query = blockIdx.x * WIDE_QUERIES;
    const unsigned row = lane / 4, pair = lane % 4 * 2;
    // What this warp has in the first product, and in the second.
    const unsigned strip = warp % 4, half = warp / 4;
    const unsigned first_channel = warp * 64;

    copy_wide<T, WIDE_QUERIES>(shared.queries, q, first_query, queries, stride, width);
    copy_wide<T, WIDE_KEYS>(shared.keys, k, 0, keys, stride, width);
    end_copies();

    float values[4][8][4] = {};
    // `mine` are of rows `row` and `row` + 8 of the strip, `all` of those rows of every strip, without sums.
    Softmax mine[2], all[4][2];

    for (unsigned first_key = 0; first_key < keys; first_key += WIDE_KEYS) {
        // After the barrier the keys are there for all, and nobody reads the values and weights of the tile before any more.
        await_copies<0>();
        __syncthreads();
        copy_wide<T, WIDE_KEYS>(shared.values, v, first_key, keys, stride, width);
        end_copies();

        float score[2][4] = {};
#pragma unroll 4
        for (unsigned channel = 0; channel < width; channel += 16) {
            unsigned query[4], key[4];
            load_rows(query, shared.queries + strip * 16 * WIDE_PITCH + channel, WIDE_PITCH, lane);
            load_keys(key, shared.keys + half * 16 * WIDE_PITCH + channel, WIDE_PITCH, lane);
            multiply<T>(score[0], query, key[0], key[1]);
            multiply<T>(score[1], query, key[2], key[3]);
        }
#pragma unroll
        for (int side = 0; side < 2; side++) {
            float highest = -INFINITY;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float& x = score[i / 2][2 * side + i % 2];
                if (first_key + half * 16 + i / 2 * 8 + pair + i % 2 >= keys) x = -INFINITY;
                highest = fmaxf(highest, x);
            }
            highest = quad_maximum(highest);
            float2& halves = shared.halves[strip * 16 + row + side * 8];
            if (pair == 0) (half == 0 ? halves.x : halves.y) = highest;
        }

        // After the barrier all have compared their scores, and nobody reads the keys any more.
        __syncthreads();
        if (first_key + WIDE_KEYS < keys) {
            copy_wide<T, WIDE_KEYS>(shared.keys, k, first_key + WIDE_KEYS, keys, stride, width);
        }
        end_copies();
#pragma unroll
        for (int side = 0; side < 2; side++) {
            const unsigned query = strip * 16 + row + side * 8;
            const float2 highest = shared.halves[query];
            mine[side].raise(fmaxf(highest.x, highest.y), scale);
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const float low = mine[side].weigh(score[i][2 * side], scale);
                const float high = mine[side].weigh(score[i][2 * side + 1], scale);
                T* weights = shared.weights + query * WEIGHT_PITCH + half * 16 + i * 8 + pair;
                *reinterpret_cast<unsigned*>(weights) = pack<T>(low, high);
            }
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float2 highest = shared.halves[i / 2 * 16 + row + i % 2 * 8];
            const float shrink = all[i / 2][i % 2].raise(fmaxf(highest.x, highest.y), scale);
#pragma unroll
            for (int j = 0; j < 8; j++) {
                values[i / 2][j][i % 2 * 2] *= shrink;
                values[i / 2][j][i % 2 * 2 + 1] *= shrink;
            }
        }

        // After the barrier the values are there for all, and the weights too. The keys of the next tile may still be under way.
        await_copies<1>();
        __syncthreads();
#pragma unroll
        for (int group = 0; group < WIDE_KEYS / 16; group++) {
            unsigned weight[4][4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                load_rows(weight[i], shared.weights + i * 16 * WEIGHT_PITCH + group * 16, WEIGHT_PITCH, lane);
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const unsigned channel = first_channel + i * 16;
                if (channel >= width) break;
                unsigned value[4];
                load_values(value, shared.values + group * 16 * WIDE_PITCH + channel, WIDE_PITCH, lane);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    multiply<T>(values[j][2 * i], weight[j], value[0], value[1]);
                    multiply<T>(values[j][2 * i + 1], weight[j], value[2], value[3]);
                }
            }
        }
    }

#pragma unroll
    for (int side = 0; side < 2; side++) {
        const float sum = quad_sum(mine[side].sum);
        float2& halves = shared.halves[strip * 16 + row + side * 8];
        if (pair == 0) (half == 0 ? halves.x : halves.y) = sum;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const unsigned query = i / 2 * 16 + row + i % 2 * 8;
        const float inverse = 1.0f / (shared.halves[query].x + shared.halves[query].y);
        if (first_query + query >= queries) continue;
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const unsigned channel = first_channel + j * 8;
            if (channel >= width) break;
            const float* two = &values[i / 2][j][i % 2 * 2];
            T* to = out + static_cast<size_t>(first_query + query) * stride + channel + pair;
            *reinterpret_cast<unsigned*>(to) = pack<T>(two[0] * inverse, two[1] * inverse);
        }
    }
}

}  // namespace attention
