// Functions of single elements. One thread takes `N` neighbouring elements of the output: one, or as many as 16 bytes hold.
//
// Sizes and numbers of threads have 32 bits, which makes divisions cheap; places of elements have 64, for there may be more of them.

#include "vector.cuh"

// The number of this thread in the grid.
__device__ __forceinline__ unsigned thread_number() { return blockIdx.x * blockDim.x + threadIdx.x; }

// `vectors` times 16 bytes, and then `rest` single elements.
template <typename T>
__device__ void activate_all(const T* x, T* output, unsigned vectors, unsigned rest, unsigned activation) {
    constexpr int N = WIDE<T>;
    const unsigned i = thread_number();
    if (i < vectors) {
        float values[N];
        load(x + size_t(i) * N, values);
        activate(values, activation);
        store(output + size_t(i) * N, values);
    } else if (i - vectors < rest) {
        const size_t at = size_t(vectors) * N + (i - vectors);
        output[at] = from_float<T>(activate(to_float(x[at]), activation));
    }
}

// `x` is (rows, 2 * width), `output` is (rows, width). `columns` are `width / N`, and `total` is `rows` times that.
template <typename T, int N>
__device__ void geglu(const T* __restrict__ x, T* __restrict__ output, unsigned columns, unsigned total) {
    const unsigned i = thread_number();
    if (i >= total) return;
    const unsigned row = i / columns;
    const T* value = x + (size_t(i) + size_t(row) * columns) * N;
    float values[N], gates[N];
    load(value, values);
    load(value + size_t(columns) * N, gates);
#pragma unroll
    for (int lane = 0; lane < N; lane++) values[lane] *= gelu(gates[lane]);
    store(output + size_t(i) * N, values);
}

// `x` is (batch, positions, channels), `v` is (batch, channels). `columns` are `channels / N`, `image` is `positions` times that, and
// `total` is `batch` times that.
template <typename T, int N>
__device__ void add_per_channel(const T* x, const T* __restrict__ v, T* output, unsigned columns, unsigned image, unsigned total) {
    const unsigned i = thread_number();
    if (i >= total) return;
    float values[N], summands[N];
    load(x + size_t(i) * N, values);
    load(v + (size_t(i / image) * columns + i % columns) * N, summands);
#pragma unroll
    for (int lane = 0; lane < N; lane++) values[lane] += summands[lane];
    store(output + size_t(i) * N, values);
}

// `a` is (rows, first) and `b` is (rows, second) of some unit, which is no more than bytes; `total` is `rows * (first + second)`.
template <typename Unit>
__device__ void concatenate(
    const Unit* __restrict__ a,
    const Unit* __restrict__ b,
    Unit* __restrict__ output,
    unsigned first,
    unsigned second,
    unsigned total
) {
    const unsigned i = thread_number();
    if (i >= total) return;
    const unsigned row = i / (first + second), column = i % (first + second);
    output[i] = column < first ? a[size_t(row) * first + column] : b[size_t(row) * second + (column - first)];
}

#define KERNEL extern "C" __global__ void __launch_bounds__(256)

#define KERNELS_OF_ELEMENT(T, NAME) \
    KERNEL activate_##NAME(const T* x, T* output, unsigned vectors, unsigned rest, unsigned activation) { \
        activate_all(x, output, vectors, rest, activation); \
    }

KERNELS_OF_ELEMENT(float, f32)
KERNELS_OF_ELEMENT(__half, f16)
KERNELS_OF_ELEMENT(__nv_bfloat16, bf16)

#define KERNELS_OF_WIDTH(T, N, NAME) \
    KERNEL geglu_##NAME(const T* x, T* output, unsigned columns, unsigned total) { geglu<T, N>(x, output, columns, total); } \
    KERNEL add_per_channel_##NAME(const T* x, const T* v, T* output, unsigned columns, unsigned image, unsigned total) { \
        add_per_channel<T, N>(x, v, output, columns, image, total); \
    }

KERNELS_OF_WIDTH(float, 1, f32)
KERNELS_OF_WIDTH(__half, 1, f16)
KERNELS_OF_WIDTH(__nv_bfloat16, 1, bf16)
KERNELS_OF_WIDTH(float, WIDE<float>, wide_f32)
KERNELS_OF_WIDTH(__half, WIDE<__half>, wide_f16)
KERNELS_OF_WIDTH(__nv_bfloat16, WIDE<__nv_bfloat16>, wide_bf16)

#define CONCATENATE(UNIT, BYTES) \
    KERNEL concatenate_##BYTES(const UNIT* a, const UNIT* b, UNIT* output, unsigned first, unsigned second, unsigned total) { \
        concatenate(a, b, output, first, second, total); \
    }

CONCATENATE(unsigned short, 2)
CONCATENATE(unsigned, 4)
CONCATENATE(uint4, 16)
