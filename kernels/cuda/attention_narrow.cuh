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
    // Blocks that a multiprocessor holds at least: up to 168 registers leave room for 3 blocks, up to 255 for 2.
    static constexpr int BLOCKS = WIDTH <= 40 ? 3 : 2;
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
    T* key_tile, T* value_tile, const T* k, const T* v, unsigned first, unsigned keys, size_t stride, unsigned width) {
    using Cut = Narrow<WIDTH>;
    constexpr int ROWS = NARROW_WARPS * 32 / Cut::COPIERS;
    const unsigned row = threadIdx.x / Cut::COPIERS, channel = threadIdx.x % Cut::COPIERS * CHUNK;
    if (channel >= Cut::STEPS * 16) return;
    const size_t from = (first + row) * stride + channel;
    const unsigned to = row * Cut::PITCH + channel;
#pragma unroll
    for (unsigned i = 0; i < Cut::KEYS; i += ROWS) {
        const bool there = first + row + i < keys && channel < width;
        copy_chunk(key_tile + to + i * Cut::PITCH, k + from + i * stride, there);
        copy_chunk(value_tile + to + i * Cut::PITCH, v + from + i * stride, there);
    }
}

// Block (x, y, z) computes queries from x * NARROW_WARPS * STRIPS * 16 on, of head y and batch row z.
template <typename T, int WIDTH>
__device__ __forceinline__ void narrow(
    const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, T* __restrict__ out,
    unsigned queries, unsigned keys, unsigned heads, unsigned width, float scale) {
    using Cut = Narrow<WIDTH>;
    constexpr int STRIPS = Cut::STRIPS, KEYS = Cut::KEYS, STEPS = Cut::STEPS, PITCH = Cut::PITCH;
    // Of each, the tile that is worked on and the one that comes after it.
    __shared__ alignas(16) T key_tiles[2][KEYS * PITCH];
    __shared__ alignas(16) T value_tiles[2][KEYS * PITCH];
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const size_t stride = static_cast<size_t>(heads) * width;
    const size_t head = static_cast<size_t>(blockIdx.y) * width;
    const size_t batch = blockIdx.z;
    q += batch * queries * stride + head;
    k += batch * keys * stride + head;
    v += batch * keys * stride + head;
    out += batch * queries * stride + head;
    const unsigned first_query = (blockIdx.x * NARROW_WARPS + warp) * STRIPS * 16 + lane / 4;
    const unsigned pair = lane % 4 * 2;

    copy_tiles<T, WIDTH>(key_tiles[0], value_tiles[0], k, v, 0, keys, stride, width);
    commit_copies();

    unsigned query[STRIPS][STEPS][4];
#pragma unroll
    for (int strip = 0; strip < STRIPS; strip++) {
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const unsigned row = first_query + strip * 16 + i % 2 * 8, channel = step * 16 + i / 2 * 8 + pair;
                const bool there = row < queries && channel < width;
                query[strip][step][i] = there ? *reinterpret_cast<const unsigned*>(q + row * stride + channel) : 0;
            }
        }
    }

    // Of a strip, a thread has rows lane / 4 and lane / 4 + 8. The sums of weights are of its own columns until the end.
    float values[STRIPS][WIDTH / 8][4] = {};
    Softmax softmax[STRIPS][2];
    scale *= LOG2_E;

    for (unsigned first_key = 0, stage = 0; first_key < keys; first_key += KEYS, stage ^= 1) {
        // After the barrier this tile is there for all, and nobody reads the one before it any more.
        wait_for_copies<0>();
        __syncthreads();
        if (first_key + KEYS < keys) {
            copy_tiles<T, WIDTH>(
                key_tiles[stage ^ 1], value_tiles[stage ^ 1], k, v, first_key + KEYS, keys, stride, width);
            commit_copies();
        }

        float score[STRIPS][KEYS / 8][4] = {};
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
#pragma unroll
            for (int group = 0; group < KEYS / 16; group++) {
                unsigned key[4];
                load_keys(key, key_tiles[stage] + group * 16 * PITCH + step * 16, PITCH, lane);
#pragma unroll
                for (int strip = 0; strip < STRIPS; strip++) {
                    multiply<T>(score[strip][2 * group], query[strip][step], key[0], key[1]);
                    multiply<T>(score[strip][2 * group + 1], query[strip][step], key[2], key[3]);
                }
            }
        }
        if (first_key + KEYS > keys) {
#pragma unroll
            for (int strip = 0; strip < STRIPS; strip++) {
#pragma unroll
                for (int i = 0; i < KEYS / 2; i++) {
                    const unsigned key = first_key + i / 4 * 8 + pair + i % 2;
                    if (key >= keys) score[strip][i / 4][i % 4] = -INFINITY;
                }
            }
        }

#pragma unroll
        for (int strip = 0; strip < STRIPS; strip++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float highest = -INFINITY;
#pragma unroll
                for (int i = 0; i < KEYS / 8; i++) {
                    highest = fmaxf(highest, fmaxf(score[strip][i][2 * half], score[strip][i][2 * half + 1]));
                }
                const float shrink = softmax[strip][half].raise(quad_maximum(highest), scale);
#pragma unroll
                for (int i = 0; i < WIDTH / 8; i++) {
                    values[strip][i][2 * half] *= shrink;
                    values[strip][i][2 * half + 1] *= shrink;
                }
#pragma unroll
                for (int i = 0; i < KEYS / 8; i++) {
#pragma unroll
                    for (int j = 2 * half; j < 2 * half + 2; j++) {
                        score[strip][i][j] = softmax[strip][half].weigh(score[strip][i][j], scale);
                    }
                }
            }
        }

        // The scores of two products over 8 keys lie in the threads as the next product wants them.
#pragma unroll
        for (int group = 0; group < KEYS / 16; group++) {
            unsigned weight[STRIPS][4];
#pragma unroll
            for (int strip = 0; strip < STRIPS; strip++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const float* two = &score[strip][2 * group + i / 2][i % 2 * 2];
                    weight[strip][i] = pack<T>(two[0], two[1]);
                }
            }
#pragma unroll
            for (int channel = 0; channel < WIDTH; channel += 16) {
                unsigned value[4];
                load_values(value, value_tiles[stage] + group * 16 * PITCH + channel, PITCH, lane);
#pragma unroll
                for (int strip = 0; strip < STRIPS; strip++) {
                    multiply<T>(values[strip][channel / 8], weight[strip], value[0], value[1]);
                    if (channel + 8 < WIDTH) {
                        multiply<T>(values[strip][channel / 8 + 1], weight[strip], value[2], value[3]);
                    }
                }
            }
        }
    }

#pragma unroll
    for (int strip = 0; strip < STRIPS; strip++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float inverse = 1.0f / quad_sum(softmax[strip][half].sum);
            const unsigned row = first_query + strip * 16 + half * 8;
#pragma unroll
            for (int i = 0; i < WIDTH / 8; i++) {
                if (row >= queries || i * 8 >= width) break;
                const float* two = &values[strip][i][2 * half];
                T* to = out + row * stride + i * 8 + pair;
                *reinterpret_cast<unsigned*>(to) = pack<T>(two[0] * inverse, two[1] * inverse);
            }
        }
    }
}

}  // namespace attention
