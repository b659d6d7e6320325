// Convolutions and linear layers on channel-last maps; src/plan/conv2d.rs says what they compute and starts them. Of Hopper's tensor
// cores conv2d_warpgroup.cu makes more.
//
//   conv2d_64x64_f16    a tile of 64 rows and 64 filters, for channels that are multiples of 8; likewise the other tiles
//   conv2d_any_f16      for any number of channels
//   conv2d_f32          of float32, for any number of channels
//   conv2d_join_f16     adds the parts of sums that several blocks computed

#include "conv2d_float.cuh"
#include "conv2d_kernel.cuh"
#include "conv2d_tensor.cuh"

// The sums' parts, one after the other in a fixed order, and what follows the sums.
template <typename T>
__device__ __forceinline__ void join(const float* partials, unsigned splits, unsigned rows, const Epilogue<T>& epilogue) {
    unsigned groups = (epilogue.channels + CHANNELS - 1) / CHANNELS;
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= rows * groups) return;
    unsigned row = i / groups, channel = i % groups * CHANNELS;
    float sums[CHANNELS] = {};
    for (unsigned split = 0; split < splits; split++) {
        float part[CHANNELS];
        load_channels(partials + (size_t(split) * rows + row) * epilogue.channels, channel, epilogue.channels, part);
#pragma unroll
        for (int j = 0; j < CHANNELS; j++) sums[j] += part[j];
    }
    epilogue.finish(row, channel, sums);
}

#define JOIN(NAME, T)                                                                                                 \
    extern "C" __global__ void NAME(const float* partials, const float* bias, const T* addend, T* output, unsigned rows,\
                                    unsigned positions, unsigned out_channels, unsigned per_channel,                  \
                                    unsigned activation, unsigned splits) {                                           \
        join<T>(partials, splits, rows, {bias, addend, per_channel, positions, activation, out_channels, output});    \
    }

// A warp has 64x64 sums where it can: of what it reads from shared memory it then makes most. The blocks that share a
// multiprocessor are as many as its registers allow; 160 KiB of shared memory are enough for them.
using Tile256x128 = Tile<256, 128, 64, 64, 5>;
using Tile256x64 = Tile<256, 64, 64, 64, 4>;
using Tile128x128 = Tile<128, 128, 64, 64, 4>;
using Tile128x64 = Tile<128, 64, 64, 32, 4>;
using Tile64x64 = Tile<64, 64, 32, 32, 5>;
// For little work, which waits for memory most of the time: there are more blocks, and more copies on their way.
using Tile32x32 = Tile<32, 32, 16, 16, 8>;
// Single elements come through registers: there is no use in more than one step ahead.
using TileOfAny = Tile<64, 64, 32, 32, 2>;

template <typename T, typename Tile> constexpr auto chunked = convolve<T, Tile, ChunkedPatches, ChunkedFilters>;
template <typename T> constexpr auto scattered = convolve<T, TileOfAny, ScatteredPatches, ScatteredFilters>;

#define TENSOR_CONVOLUTIONS(SUFFIX, T)                                                                                \
    CONVOLUTION(conv2d_256x128_##SUFFIX, T, 256, 1, (chunked<T, Tile256x128>))                                        \
    CONVOLUTION(conv2d_256x64_##SUFFIX, T, 128, 2, (chunked<T, Tile256x64>))                                          \
    CONVOLUTION(conv2d_128x128_##SUFFIX, T, 128, 2, (chunked<T, Tile128x128>))                                        \
    CONVOLUTION(conv2d_128x64_##SUFFIX, T, 128, 3, (chunked<T, Tile128x64>))                                          \
    CONVOLUTION(conv2d_64x64_##SUFFIX, T, 128, 4, (chunked<T, Tile64x64>))                                            \
    CONVOLUTION(conv2d_32x32_##SUFFIX, T, 128, 4, (chunked<T, Tile32x32>))                                            \
    CONVOLUTION(conv2d_any_##SUFFIX, T, 128, 3, (scattered<T>))                                                       \
    JOIN(conv2d_join_##SUFFIX, T)

TENSOR_CONVOLUTIONS(f16, __half)
TENSOR_CONVOLUTIONS(bf16, __nv_bfloat16)
CONVOLUTION(conv2d_f32, float, 256, 1, convolve_floats)
JOIN(conv2d_join_f32, float)
