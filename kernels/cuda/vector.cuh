// Neighbouring elements of a tensor as float32: one of them, or as many as 16 bytes hold.
#pragma once

#include "activation.cuh"

// How many elements of a type 16 bytes hold. All threads of a warp move most in one instruction that way.
template <typename T> constexpr int WIDE = 16 / sizeof(T);

// `from` must be a multiple of 16 for `N == WIDE<T>`.
template <int N, typename T> __device__ __forceinline__ void load(const T* from, float (&x)[N]) {
    static_assert(N == 1 || N == WIDE<T>);
    if constexpr (N == 1) {
        x[0] = to_float(*from);
    } else {
        const uint4 bits = *reinterpret_cast<const uint4*>(from);
        const T* lanes = reinterpret_cast<const T*>(&bits);
#pragma unroll
        for (int i = 0; i < N; i++) x[i] = to_float(lanes[i]);
    }
}

// `to` must be a multiple of 16 for `N == WIDE<T>`.
template <int N, typename T> __device__ __forceinline__ void store(T* to, const float (&x)[N]) {
    static_assert(N == 1 || N == WIDE<T>);
    if constexpr (N == 1) {
        *to = from_float<T>(x[0]);
    } else {
        uint4 bits;
        T* lanes = reinterpret_cast<T*>(&bits);
#pragma unroll
        for (int i = 0; i < N; i++) lanes[i] = from_float<T>(x[i]);
        *reinterpret_cast<uint4*>(to) = bits;
    }
}
