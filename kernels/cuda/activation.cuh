// Pointwise functions and conversions that the kernels share.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

// The numbers of `Activation` in src/element.rs.
enum Activation : unsigned { IDENTITY = 0, SILU = 1, GELU = 2, QUICK_GELU = 3, RELU = 4, TANH = 5 };

// The exponential is the accurate one. The division may be off by two units in the last place, and costs a few instructions where the
// exact one would cost a normalisation half of its time; for divisors beyond 2^126 it gives zero.
__device__ __forceinline__ float silu(float x) { return __fdividef(x, 1.0f + expf(-x)); }

__device__ __forceinline__ float quick_gelu(float x) { return __fdividef(x, 1.0f + expf(-1.702f * x)); }

__device__ __forceinline__ float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)); }

// `fmaxf` would make a zero of what is not a number.
__device__ __forceinline__ float relu(float x) { return x < 0.0f ? 0.0f : x; }

__device__ __forceinline__ float activate(float x, unsigned activation) {
    switch (activation) {
        case SILU: return silu(x);
        case GELU: return gelu(x);
        case QUICK_GELU: return quick_gelu(x);
        case RELU: return relu(x);
        case TANH: return tanhf(x);
        default: return x;
    }
}

// The same for several numbers: the choice is made once.
template <int N> __device__ __forceinline__ void activate(float (&x)[N], unsigned activation) {
    const auto each = [&x](auto function) {
#pragma unroll
        for (int i = 0; i < N; i++) x[i] = function(x[i]);
    };
    switch (activation) {
        case SILU: return each(silu);
        case GELU: return each(gelu);
        case QUICK_GELU: return each(quick_gelu);
        case RELU: return each(relu);
        case TANH: return each(tanhf);
        default: return;
    }
}

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ __half from_float<__half>(float x) { return __float2half_rn(x); }
template <> __device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }
