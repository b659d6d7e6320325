// Pointwise functions and conversions that the kernels share.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

// The numbers of `Activation` in src/element.rs.
enum Activation : unsigned { IDENTITY = 0, SILU = 1, GELU = 2, QUICK_GELU = 3, RELU = 4, TANH = 5 };

__device__ __forceinline__ float activate(float x, unsigned activation) {
    switch (activation) {
        case SILU: return x / (1.0f + expf(-x));
        case GELU: return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
        case QUICK_GELU: return x / (1.0f + expf(-1.702f * x));
        case RELU: return fmaxf(x, 0.0f);
        case TANH: return tanhf(x);
        default: return x;
    }
}

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ __half from_float<__half>(float x) { return __float2half_rn(x); }
template <> __device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }
