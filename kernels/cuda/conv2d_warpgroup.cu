// The convolutions and linear layers of conv2d.cu whose channels are multiples of 8, by the instruction that Hopper alone has. What is
// compiled of this file runs on devices of compute capability 9.0 and no others.
//
//   conv2d_warpgroup_64x64_f16    a tile of 64 rows and 64 filters; likewise the other tiles

#include "conv2d_kernel.cuh"
#include "conv2d_warpgroup.cuh"

// The widest instructions read shared memory least; of how many columns follows from the numbers of filters that networks have, which are
// multiples of 160 or of 128. The blocks that share a multiprocessor are as many as 227 KiB of shared memory allow.
using Tile256x160 = WarpgroupTile<256, 160, 128, 4>;
using Tile256x128 = WarpgroupTile<256, 128, 128, 4>;
using Tile128x160 = WarpgroupTile<128, 160, 64, 3>;
using Tile128x128 = WarpgroupTile<128, 128, 64, 3>;
using Tile128x64 = WarpgroupTile<128, 64, 64, 4>;
using Tile64x64 = WarpgroupTile<64, 64, 64, 4>;
using Tile64x32 = WarpgroupTile<64, 32, 64, 5>;

#define WARPGROUP_CONVOLUTIONS(SUFFIX, T)                                                                             \
    CONVOLUTION(conv2d_warpgroup_256x160_##SUFFIX, T, 256, 1, (convolve<T, Tile256x160>))                             \
    CONVOLUTION(conv2d_warpgroup_256x128_##SUFFIX, T, 256, 1, (convolve<T, Tile256x128>))                             \
    CONVOLUTION(conv2d_warpgroup_128x160_##SUFFIX, T, 256, 2, (convolve<T, Tile128x160>))                             \
    CONVOLUTION(conv2d_warpgroup_128x128_##SUFFIX, T, 256, 2, (convolve<T, Tile128x128>))                             \
    CONVOLUTION(conv2d_warpgroup_128x64_##SUFFIX, T, 256, 2, (convolve<T, Tile128x64>))                               \
    CONVOLUTION(conv2d_warpgroup_64x64_##SUFFIX, T, 128, 3, (convolve<T, Tile64x64>))                                 \
    CONVOLUTION(conv2d_warpgroup_64x32_##SUFFIX, T, 128, 3, (convolve<T, Tile64x32>))

WARPGROUP_CONVOLUTIONS(f16, __half)
WARPGROUP_CONVOLUTIONS(bf16, __nv_bfloat16)
