// The kernels' signature, which conv2d.rs passes its arguments by.
#pragma once

#include "conv2d_epilogue.cuh"
#include "conv2d_map.cuh"

// A kernel of elements `T` with its name and its body. A multiprocessor has registers for `BLOCKS` blocks of it.
#define CONVOLUTION(NAME, T, THREADS, BLOCKS, BODY)                                                                   \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)                                                     \
        NAME(const T* input, const T* weight, const float* bias, const T* addend, T* output, float* partials,         \
             unsigned rows, unsigned height, unsigned width, unsigned channels, unsigned kernel_height,               \
             unsigned kernel_width, unsigned positions, unsigned out_width, unsigned out_channels, unsigned stride,   \
             unsigned before, unsigned upsample, unsigned per_channel, unsigned activation, unsigned steps_per_split) {\
        const Map map{rows,      height,    width,  channels, kernel_height, kernel_width,                            \
                      positions, out_width, stride, before,   upsample};                                              \
        const Epilogue<T> epilogue{bias, addend, per_channel, positions, activation, out_channels, output};           \
        BODY(map, input, weight, epilogue, partials, steps_per_split);                                                \
    }
