// Attention without tensor cores: for float32, for causal masks, and for heads of any other width.
//
// Eight warps share 32 queries, four each. A lane is a key in the first product and a channel in the second. A masked key takes no part
// in either, so whatever it holds leaves no trace.
#pragma once

#include "attention_warp.cuh"
#include "warp.cuh"

namespace attention {

constexpr int PLAIN_WARPS = 8, PLAIN_QUERIES = 32, PLAIN_KEYS = 32, PLAIN_OF_WARP = PLAIN_QUERIES / PLAIN_WARPS;
// Channels of the result that a block computes; wider heads take several blocks, each of which computes the scores for itself.
constexpr int PLAIN_SLICE = 512;
// Numbers from row to row: four more than a row has, so that 8 lanes that read four numbers each, one row a lane, use all banks once.
constexpr int PLAIN_PITCH = 32 + 4;

// Copies 32 channels from `channel` on of 32 rows from `first` on; zeros where there is nothing.
template <typename T>
__device__ __forceinline__ void copy_plain(
    float (*tile)[PLAIN_PITCH], const T* rows, unsigned first, unsigned count, size_t stride, unsigned channel, unsigned width) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (unsigned row = warp; row < 32; row += PLAIN_WARPS) {
        const bool there = first + row < count && channel + lane < width;
        tile[row][lane] = there ? to_float(rows[(first + row) * stride + channel + lane]) : 0.0f;
    }
}

__device__ __forceinline__ float warp_maximum(float x) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(WHOLE_WARP, x, distance));
    return x;
}

// Block (x, y, z) computes queries from x * PLAIN_QUERIES on, of batch row z; y counts the slices of all heads.
template <typename T>
__device__ __forceinline__ void plain(
    const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, T* __restrict__ out,
    unsigned queries, unsigned keys, unsigned heads, unsigned width, float scale, unsigned causal) {
    __shared__ alignas(16) float query_tile[PLAIN_QUERIES][PLAIN_PITCH];
    __shared__ alignas(16) float key_tile[PLAIN_KEYS][PLAIN_PITCH];
    __shared__ alignas(16) float weights[PLAIN_QUERIES][PLAIN_PITCH];
    const unsigned lane = threadIdx.x % 32, own = threadIdx.x / 32 * PLAIN_OF_WARP;
    const unsigned slices = (width + PLAIN_SLICE - 1) / PLAIN_SLICE;
    const size_t stride = static_cast<size_t>(heads) * width;
    const size_t head = static_cast<size_t>(blockIdx.y / slices) * width;
    const unsigned slice = blockIdx.y % slices * PLAIN_SLICE;
    const size_t batch = blockIdx.z;
    q += batch * queries * stride + head;
    k += batch * keys * stride + head;
    v += batch * keys * stride + head;
    out += batch * queries * stride + head;
    const unsigned first_query = blockIdx.x * PLAIN_QUERIES;
    // How many keys a query sees, and the most that one of the block sees.
    unsigned visible[PLAIN_OF_WARP];
#pragma unroll
    for (int i = 0; i < PLAIN_OF_WARP; i++) visible[i] = causal ? min(keys, first_query + own + i + 1) : keys;
    const unsigned most = causal ? min(keys, first_query + PLAIN_QUERIES) : keys;

    float values[PLAIN_OF_WARP][PLAIN_SLICE / 32] = {};
    Softmax softmax[PLAIN_OF_WARP];

    for (unsigned first_key = 0; first_key < most; first_key += PLAIN_KEYS) {
        float score[PLAIN_OF_WARP] = {};
        for (unsigned first_channel = 0; first_channel < width; first_channel += 32) {
            __syncthreads();
            copy_plain(query_tile, q, first_query, queries, stride, first_channel, width);
            copy_plain(key_tile, k, first_key, keys, stride, first_channel, width);
            __syncthreads();
            for (unsigned channel = 0; channel < min(32, width - first_channel); channel += 4) {
                const float4 key = *reinterpret_cast<const float4*>(&key_tile[lane][channel]);
#pragma unroll
                for (int i = 0; i < PLAIN_OF_WARP; i++) {
                    const float4 query = *reinterpret_cast<const float4*>(&query_tile[own + i][channel]);
                    score[i] = fmaf(query.x, key.x, score[i]);
                    score[i] = fmaf(query.y, key.y, score[i]);
                    score[i] = fmaf(query.z, key.z, score[i]);
                    score[i] = fmaf(query.w, key.w, score[i]);
                }
            }
        }

#pragma unroll
        for (int i = 0; i < PLAIN_OF_WARP; i++) {
            if (first_key + lane >= visible[i]) score[i] = -INFINITY;
            const float shrink = softmax[i].raise(warp_maximum(score[i]), scale);
            weights[own + i][lane] = softmax[i].weigh(score[i], scale);
#pragma unroll
            for (int j = 0; j < PLAIN_SLICE / 32; j++) values[i][j] *= shrink;
        }
        // The warp reads no weights but its own.
        __syncwarp();
#pragma unroll
        for (int j = 0; j < PLAIN_SLICE / 32; j++) {
            const unsigned channel = slice + j * 32 + lane;
            if (channel - lane >= width) break;
            for (unsigned key = first_key; key < min(first_key + PLAIN_KEYS, most); key += 4) {
                float value[4];
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    value[e] = key + e < most && channel < width ? to_float(v[(key + e) * stride + channel]) : 0.0f;
                }
#pragma unroll
                for (int i = 0; i < PLAIN_OF_WARP; i++) {
                    const float4 weight = *reinterpret_cast<const float4*>(&weights[own + i][key - first_key]);
                    const float four[4] = {weight.x, weight.y, weight.z, weight.w};
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        if (key + e < visible[i]) values[i][j] = fmaf(four[e], value[e], values[i][j]);
                    }
                }
            }
        }
        __syncwarp();
    }

#pragma unroll
    for (int i = 0; i < PLAIN_OF_WARP; i++) {
        const float inverse = 1.0f / warp_sum(softmax[i].sum);
        const unsigned query = first_query + own + i;
#pragma unroll
        for (int j = 0; j < PLAIN_SLICE / 32; j++) {
            const unsigned channel = slice + j * 32 + lane;
            if (query < queries && channel < width) {
                out[query * stride + channel] = from_float<T>(values[i][j] * inverse);
            }
        }
    }
}

}  // namespace attention
