// Normalisation of channel-last tensors.
//
// Mean and variance are never taken from a sum of squares, which loses all digits where the mean is large. A thread keeps them up to
// date element by element (Welford 1962); what threads and blocks found is put together by the formula for the union of several sets
// (Chan, Golub and LeVeque 1979): its deviations are those within the sets and those of the sets' means.
//
// The file is read top down: moments, the parts of group normalisation, its three kernels, layer normalisation.

#include "vector.cuh"
#include "warp.cuh"

// What is known of a set of numbers: how many they are, their mean, and the sum of their squared distances from it.
struct Moments {
    float count, mean, deviation;
};

// The moments of the union of `parts` sets; `part(i)` gives those of one. A whole warp calls it; all of its threads get the result.
template <typename Part> __device__ Moments unite(unsigned parts, Part part) {
    const unsigned lane = threadIdx.x % 32;
    float count = 0.0f, sum = 0.0f, deviation = 0.0f;
    for (unsigned i = lane; i < parts; i += 32) {
        const Moments moments = part(i);
        count += moments.count;
        sum += moments.count * moments.mean;
    }
    count = warp_sum(count);
    const float mean = warp_sum(sum) / count;
    for (unsigned i = lane; i < parts; i += 32) {
        const Moments moments = part(i);
        const float distance = moments.mean - mean;
        deviation += moments.deviation + moments.count * distance * distance;
    }
    return {count, mean, warp_sum(deviation)};
}

// Mean, and the inverse of the standard deviation.
struct Scale {
    float mean, inverse;
};

__device__ __forceinline__ Scale scale_of(Moments moments, float eps) {
    return {moments.mean, 1.0f / sqrtf(moments.deviation / moments.count + eps)};
}

// How group normalisation is cut into blocks; `Cut` in src/plan/norm.rs.
//
// A block has some groups of one image, as many channels of it as its tile is wide, over all positions of the image or of a segment of
// it. It is a table of threads, row after row: each of its rows takes every so many'th position, each of its columns `N` channels.
struct Cut {
    unsigned positions;
    unsigned channels;
    unsigned channels_of_group;
    // The last tile may have fewer.
    unsigned groups_of_tile;
    // The last segment may have fewer.
    unsigned positions_of_segment;
    // Columns of a tile that is whole, at most; further channels are a column's second, third and so on.
    unsigned columns;
};

// The block's part of an image, and the thread's place in it.
template <int N> struct Part {
    const Cut& cut;
    unsigned segments, image, segment, groups, first_group, positions, row, rows, column;

    __device__ explicit Part(const Cut& cut) : cut(cut) {
        segments = (cut.positions + cut.positions_of_segment - 1) / cut.positions_of_segment;
        image = blockIdx.x / segments;
        segment = blockIdx.x % segments;
        first_group = blockIdx.y * cut.groups_of_tile;
        groups = min(cut.groups_of_tile, all_groups() - first_group);
        positions = positions_of(segment);
        rows = min(blockDim.x / cut.columns, positions);
        row = threadIdx.x / cut.columns;
        column = threadIdx.x % cut.columns;
    }

    __device__ unsigned all_groups() const { return cut.channels / cut.channels_of_group; }

    __device__ unsigned positions_of(unsigned segment) const {
        return min(cut.positions_of_segment, cut.positions - segment * cut.positions_of_segment);
    }

    // How many positions a row of threads has.
    __device__ unsigned positions_of_row(unsigned row) const { return (positions - row + rows - 1) / rows; }

    // The first element of the block.
    __device__ size_t start() const {
        const size_t position = size_t(image) * cut.positions + segment * cut.positions_of_segment;
        return position * cut.channels + first_channel();
    }

    __device__ unsigned first_channel() const { return first_group * cut.channels_of_group; }

    __device__ unsigned all_columns() const { return groups * cut.channels_of_group / N; }
};

// How many neighbours among the `N` channels of a thread surely belong to the same group.
template <int N> __device__ __forceinline__ unsigned run_length(unsigned channels_of_group) {
    unsigned run = 1;
    while (run < N && channels_of_group % (2 * run) == 0) run *= 2;
    return run;
}

// Mean and deviation of each run of channels over the positions of a row of threads: `runs[row * runs of the tile + run]`.
template <typename T, int N> __device__ void runs_of_rows(const Part<N>& part, const T* __restrict__ x, float2* runs) {
    if (part.row >= part.rows) return;
    const unsigned run = run_length<N>(part.cut.channels_of_group);
    for (unsigned column = part.column; column < part.all_columns(); column += part.cut.columns) {
        float mean[N] = {}, deviation[N] = {}, count = 0.0f;
        const T* from = x + part.start() + column * N;
#pragma unroll 4
        for (unsigned position = part.row; position < part.positions; position += part.rows) {
            float values[N];
            load(from + size_t(position) * part.cut.channels, values);
            count += 1.0f;
            const float share = __fdividef(1.0f, count);
#pragma unroll
            for (int i = 0; i < N; i++) {
                const float distance = values[i] - mean[i];
                mean[i] = fmaf(distance, share, mean[i]);
                deviation[i] = fmaf(distance, values[i] - mean[i], deviation[i]);
            }
        }
        // Neighbours are united two by two; the first has the result.
#pragma unroll
        for (int width = 1; width < N; width *= 2) {
            if (width >= run) break;
#pragma unroll
            for (int i = 0; i < N; i += 2 * width) {
                const float distance = mean[i + width] - mean[i];
                mean[i] += 0.5f * distance;
                deviation[i] += deviation[i + width] + 0.5f * width * count * distance * distance;
            }
        }
        float2* to = runs + (part.row * part.all_columns() + column) * (N / run);
#pragma unroll
        for (int i = 0; i < N; i++) {
            if (i % run == 0) to[i / run] = {mean[i], deviation[i]};
        }
    }
}

// The moments of each group of the block, from those of the runs. Warps take groups in turn, and their first threads call
// `found(group, moments)`.
template <int N, typename Found> __device__ void groups_of_runs(const Part<N>& part, const float2* runs, Found found) {
    const unsigned run = run_length<N>(part.cut.channels_of_group);
    const unsigned of_group = part.cut.channels_of_group / run, of_row = part.groups * of_group;
    for (unsigned group = threadIdx.x / 32; group < part.groups; group += blockDim.x / 32) {
        const Moments moments = unite(part.rows * of_group, [&](unsigned i) -> Moments {
            const unsigned row = i / of_group;
            const float2 found = runs[row * of_row + group * of_group + i % of_group];
            return {float(part.positions_of_row(row) * run), found.x, found.y};
        });
        if (threadIdx.x % 32 == 0) found(group, moments);
    }
}

// Scales each group of the block, and each channel by its weight.
template <typename T, int N>
__device__ void normalise(
    const Part<N>& part,
    const T* __restrict__ x,
    const float* __restrict__ weight,
    const float* __restrict__ bias,
    T* __restrict__ output,
    const Scale* scales,
    unsigned activation
) {
    if (part.row >= part.rows) return;
    for (unsigned column = part.column; column < part.all_columns(); column += part.cut.columns) {
        float mean[N], factor[N], summand[N];
#pragma unroll
        for (int i = 0; i < N; i++) {
            const unsigned channel = column * N + i;
            const Scale scale = scales[channel / part.cut.channels_of_group];
            mean[i] = scale.mean;
            factor[i] = scale.inverse * weight[part.first_channel() + channel];
            summand[i] = bias[part.first_channel() + channel];
        }
        const size_t start = part.start() + column * N;
#pragma unroll 1
        for (unsigned position = part.row; position < part.positions; position += part.rows) {
            const size_t at = start + size_t(position) * part.cut.channels;
            float values[N];
            load(x + at, values);
#pragma unroll
            for (int i = 0; i < N; i++) values[i] = fmaf(values[i] - mean[i], factor[i], summand[i]);
            activate(values, activation);
            store(output + at, values);
        }
    }
}

extern __shared__ float2 shared[];

// Where a block of `group_norm_whole` and `group_norm_apply` keeps the scales of its groups.
__device__ __forceinline__ Scale* scales_of_groups() { return reinterpret_cast<Scale*>(shared); }

// The whole of it, for a map that has one segment.
template <typename T, int N>
__device__ void group_norm_whole(
    const T* x, const float* weight, const float* bias, T* output, const Cut& cut, float eps, unsigned activation
) {
    const Part<N> part(cut);
    Scale* scales = scales_of_groups();
    float2* runs = shared + cut.groups_of_tile;
    runs_of_rows(part, x, runs);
    __syncthreads();
    groups_of_runs(part, runs, [&](unsigned group, Moments moments) { scales[group] = scale_of(moments, eps); });
    __syncthreads();
    normalise(part, x, weight, bias, output, scales, activation);
}

// Mean and deviation of each group in each segment: `found` is (batch, groups, segments).
template <typename T, int N> __device__ void group_norm_statistics(const T* x, float2* found, const Cut& cut) {
    const Part<N> part(cut);
    runs_of_rows(part, x, shared);
    __syncthreads();
    groups_of_runs(part, shared, [&](unsigned group, Moments moments) {
        const size_t row = size_t(part.image) * part.all_groups() + part.first_group + group;
        found[row * part.segments + part.segment] = {moments.mean, moments.deviation};
    });
}

template <typename T, int N>
__device__ void group_norm_apply(
    const T* x,
    const float* weight,
    const float* bias,
    const float2* found,
    T* output,
    const Cut& cut,
    float eps,
    unsigned activation
) {
    const Part<N> part(cut);
    Scale* scales = scales_of_groups();
    for (unsigned group = threadIdx.x / 32; group < part.groups; group += blockDim.x / 32) {
        const size_t row = size_t(part.image) * part.all_groups() + part.first_group + group;
        const Moments moments = unite(part.segments, [&](unsigned segment) -> Moments {
            const float2 one = found[row * part.segments + segment];
            return {float(part.positions_of(segment)) * float(cut.channels_of_group), one.x, one.y};
        });
        if (threadIdx.x % 32 == 0) scales[group] = scale_of(moments, eps);
    }
    __syncthreads();
    normalise(part, x, weight, bias, output, scales, activation);
}

// Each row of `width` elements by itself; a warp has a row. It reads the row three times, twice from the cache.
template <typename T, int N>
__device__ void layer_norm(
    const T* __restrict__ x,
    const float* __restrict__ weight,
    const float* __restrict__ bias,
    T* __restrict__ output,
    unsigned rows,
    unsigned width,
    float eps
) {
    const unsigned row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += size_t(row) * width;
    output += size_t(row) * width;
    float sum = 0.0f, deviation = 0.0f, values[N];
#pragma unroll 4
    for (unsigned at = lane * N; at < width; at += 32 * N) {
        load(x + at, values);
#pragma unroll
        for (int i = 0; i < N; i++) sum += values[i];
    }
    const float mean = warp_sum(sum) / width;
#pragma unroll 4
    for (unsigned at = lane * N; at < width; at += 32 * N) {
        load(x + at, values);
#pragma unroll
        for (int i = 0; i < N; i++) deviation = fmaf(values[i] - mean, values[i] - mean, deviation);
    }
    const Scale scale = scale_of({float(width), mean, warp_sum(deviation)}, eps);
    for (unsigned at = lane * N; at < width; at += 32 * N) {
        load(x + at, values);
#pragma unroll
        for (int i = 0; i < N; i++) {
            values[i] = fmaf((values[i] - scale.mean) * scale.inverse, weight[at + i], bias[at + i]);
        }
        store(output + at, values);
    }
}

// A thread may have 64 registers.
#define KERNEL(THREADS) extern "C" __global__ void __launch_bounds__(THREADS, 1024 / THREADS)

// The parameters that make a `Cut`.
#define SIZES \
    unsigned positions, unsigned channels, unsigned channels_of_group, unsigned groups_of_tile, unsigned positions_of_segment, \
        unsigned columns
#define CUT Cut{positions, channels, channels_of_group, groups_of_tile, positions_of_segment, columns}

#define KERNELS(T, N, NAME) \
    KERNEL(512) group_norm_whole_##NAME(const T* x, const float* weight, const float* bias, T* output, SIZES, float eps, \
                                        unsigned activation) { \
        group_norm_whole<T, N>(x, weight, bias, output, CUT, eps, activation); \
    } \
    KERNEL(512) group_norm_statistics_##NAME(const T* x, float2* found, SIZES) { \
        group_norm_statistics<T, N>(x, found, CUT); \
    } \
    KERNEL(512) group_norm_apply_##NAME(const T* x, const float* weight, const float* bias, const float2* found, T* output, SIZES, \
                                        float eps, unsigned activation) { \
        group_norm_apply<T, N>(x, weight, bias, found, output, CUT, eps, activation); \
    } \
    KERNEL(128) layer_norm_##NAME(const T* x, const float* weight, const float* bias, T* output, unsigned rows, unsigned width, \
                                  float eps) { \
        layer_norm<T, N>(x, weight, bias, output, rows, width, eps); \
    }

KERNELS(float, 1, f32)
KERNELS(__half, 1, f16)
KERNELS(__nv_bfloat16, 1, bf16)
KERNELS(float, WIDE<float>, wide_f32)
KERNELS(__half, WIDE<__half>, wide_f16)
KERNELS(__nv_bfloat16, WIDE<__nv_bfloat16>, wide_bf16)
