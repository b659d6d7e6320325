// What happens between two calls of the network: the state of an image that is being denoised stays on the device, in float32 and
// channel-last.
//
// A sample has some ten thousand numbers and a launch takes longer than they do, so a thread takes one number. Where the processor's
// version does an operation in float32 or float64 with one rounding each, so does this: the intrinsics keep the compiler from joining
// products and sums, and the results are the same in every bit.

#include "vector.cuh"
#include "warp.cuh"

#define KERNEL extern "C" __global__ void __launch_bounds__(256)

// The number of this thread in the grid.
__device__ __forceinline__ unsigned thread_number() { return blockIdx.x * blockDim.x + threadIdx.x; }

// `sample`, (positions, channels), times `scale`, and `further`, (positions, further_channels), side by side in each of the `copies`
// of `output`. `total` is `positions * (channels + further_channels)`.
template <typename T>
__device__ void place_input(
    const float* __restrict__ sample,
    const float* __restrict__ further,
    T* __restrict__ output,
    unsigned channels,
    unsigned further_channels,
    unsigned total,
    unsigned copies,
    float scale
) {
    const unsigned i = thread_number();
    if (i >= total) return;
    const unsigned position = i / (channels + further_channels), channel = i % (channels + further_channels);
    const float value = channel < channels ? sample[size_t(position) * channels + channel] * scale
                                           : further[size_t(position) * further_channels + (channel - channels)];
    for (unsigned copy = 0; copy < copies; copy++) output[size_t(copy) * total + i] = from_float<T>(value);
}

// The flag is set if a number is not finite.
template <typename T>
__device__ void widen(const T* __restrict__ x, float* __restrict__ output, unsigned* flag, unsigned len) {
    const unsigned i = thread_number();
    if (i >= len) return;
    const float value = to_float(x[i]);
    output[i] = value;
    if (!isfinite(value)) *flag = 1;
}

// From -1..=1 to 0..=255, halves to even. What is not a number becomes 0: `__saturatef` makes it so.
template <typename T> __device__ void to_bytes(const T* __restrict__ x, unsigned char* __restrict__ output, unsigned len) {
    const unsigned i = thread_number();
    if (i >= len) return;
    output[i] = static_cast<unsigned char>(__float2uint_rn(__saturatef(to_float(x[i]) * 0.5f + 0.5f) * 255.0f));
}

#define KERNELS(T, NAME) \
    KERNEL place_input_##NAME(const float* sample, const float* further, T* output, unsigned channels, unsigned further_channels, \
                              unsigned total, unsigned copies, float scale) { \
        place_input(sample, further, output, channels, further_channels, total, copies, scale); \
    } \
    KERNEL widen_##NAME(const T* x, float* output, unsigned* flag, unsigned len) { widen(x, output, flag, len); } \
    KERNEL to_bytes_##NAME(const T* x, unsigned char* output, unsigned len) { to_bytes(x, output, len); }

KERNELS(float, f32)
KERNELS(__half, f16)
KERNELS(__nv_bfloat16, bf16)

// The sum of each tensor that is there, times its coefficient, in double precision: large terms often cancel. The result is brought
// into -bound..=bound; what is not a number stays so, that the fault can be found. `output` may be one of the tensors.
KERNEL combine(
    const float* x0,
    const float* x1,
    const float* x2,
    const float* x3,
    const float* x4,
    const float* x5,
    const float* x6,
    const float* x7,
    float* output,
    double c0,
    double c1,
    double c2,
    double c3,
    double c4,
    double c5,
    double c6,
    double c7,
    float bound,
    unsigned len
) {
    const unsigned i = thread_number();
    if (i >= len) return;
    const float* const tensors[] = {x0, x1, x2, x3, x4, x5, x6, x7};
    const double coefficients[] = {c0, c1, c2, c3, c4, c5, c6, c7};
    double sum = 0.0;
#pragma unroll
    for (int term = 0; term < 8; term++) {
        if (tensors[term] != nullptr) sum = __dadd_rn(sum, __dmul_rn(coefficients[term], tensors[term][i]));
    }
    const float value = static_cast<float>(sum);
    output[i] = value > bound ? bound : value < -bound ? -bound : value;
}

// Sums over a segment of each of two tensors, and of their squares, which double precision holds exactly: four numbers for each block.
KERNEL sums_for_deviation(
    const float* __restrict__ conditional,
    const float* __restrict__ guided,
    double* __restrict__ sums,
    unsigned len,
    unsigned segment
) {
    const unsigned start = blockIdx.x * segment, end = min(len, start + segment);
    double own[4] = {};
    for (unsigned i = start + threadIdx.x; i < end; i += blockDim.x) {
        const double c = conditional[i], g = guided[i];
        own[0] += c;
        own[1] += c * c;
        own[2] += g;
        own[3] += g * g;
    }
    __shared__ double of_warps[8][4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const double sum = warp_sum(own[k]);
        if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32][k] = sum;
    }
    __syncthreads();
    if (threadIdx.x < 4) {
        double sum = 0.0;
        for (int warp = 0; warp < 8; warp++) sum += of_warps[warp][threadIdx.x];
        sums[size_t(blockIdx.x) * 4 + threadIdx.x] = sum;
    }
}

// Of `len` numbers, from their sum and that of their squares; the unbiased one, as torch's `std` has it.
__device__ __forceinline__ double deviation(double sum, double squares, double len) {
    const double variance = (squares - sum * sum / len) / (len - 1.0);
    // Rounding may take the difference of two equal numbers below zero; what is not a number must stay so.
    return sqrt(variance < 0.0 ? 0.0 : variance);
}

// `sums` are those of `segments` blocks of `sums_for_deviation`. `output` may be `guided`.
KERNEL restore_deviation(
    const float* guided, const double* __restrict__ sums, float* output, unsigned len, unsigned segments, double rescale
) {
    __shared__ float factor;
    if (threadIdx.x < 32) {
        double all[4] = {};
        for (unsigned segment = threadIdx.x; segment < segments; segment += 32) {
#pragma unroll
            for (int k = 0; k < 4; k++) all[k] += sums[size_t(segment) * 4 + k];
        }
#pragma unroll
        for (int k = 0; k < 4; k++) all[k] = warp_sum(all[k]);
        if (threadIdx.x == 0) {
            const double ratio = deviation(all[0], all[1], len) / deviation(all[2], all[3], len);
            factor = static_cast<float>(rescale * ratio + (1.0 - rescale));
        }
    }
    __syncthreads();
    const unsigned i = thread_number();
    if (i < len) output[i] = guided[i] * factor;
}

// Where `mask`, (positions), is 0, the picture with its noise takes the place of the sample; all others are (positions, channels), and
// `total` is that many. `output` may be `sample`.
KERNEL restore(
    const float* sample,
    const float* __restrict__ mask,
    const float* __restrict__ original,
    const float* __restrict__ noise,
    float* output,
    unsigned channels,
    unsigned total,
    float original_scale,
    float noise_scale
) {
    const unsigned i = thread_number();
    if (i >= total) return;
    output[i] = mask[i / channels] != 0.0f
        ? sample[i]
        : __fadd_rn(__fmul_rn(original_scale, original[i]), __fmul_rn(noise_scale, noise[i]));
}

// `output`, (positions, 3), from `latents`, (positions, channels), and `factors`, (3, channels + 1), of which the last is added;
// `total` is `3 * positions`.
KERNEL latent_colors(
    const float* __restrict__ latents,
    const float* __restrict__ factors,
    float* __restrict__ output,
    unsigned channels,
    unsigned total
) {
    const unsigned i = thread_number();
    if (i >= total) return;
    latents += size_t(i / 3) * channels;
    factors += i % 3 * (channels + 1);
    float sum = 0.0f;
    for (unsigned channel = 0; channel < channels; channel++) {
        sum = __fadd_rn(sum, __fmul_rn(factors[channel], latents[channel]));
    }
    output[i] = __fadd_rn(factors[channels], sum);
}
