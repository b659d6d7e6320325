// Sums over the threads of a warp.
#pragma once

// The sum over a whole warp, in the same order whichever warp it is; all threads get it.
template <typename T> __device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(0xffffffff, x, distance);
    return x;
}
