// Copies of what a step multiplies into shared memory.
#pragma once

#include "conv2d_map.cuh"
#include "instructions.cuh"

// Sixteen bytes of elements.
template <typename T> struct alignas(16) Chunk {
    T elements[16 / sizeof(T)];
};

// Writes a chunk at an address in shared memory.
template <typename T> __device__ __forceinline__ void write_chunk(unsigned to, const Chunk<T>& chunk) {
    const uint4& words = reinterpret_cast<const uint4&>(chunk);
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(words.x), "r"(words.y), "r"(words.z),
                 "r"(words.w)
                 : "memory");
}

// The chunks that a thread copies in each step: the same one of each `APART`th row. `Layout` says how many terms of a row lie in shared
// memory for one step, in chunks of eight, which are 16 bytes, and at which byte a chunk of a row begins. It repeats itself each
// eight rows.
template <typename Layout, unsigned ROWS, unsigned THREADS> struct Share {
    static constexpr unsigned CHUNKS = Layout::STEP / 8;
    static constexpr unsigned APART = THREADS / CHUNKS;
    static constexpr unsigned COUNT = ROWS / APART;
    static_assert(ROWS % APART == 0 && APART % 8 == 0);

    __device__ static unsigned row(unsigned i) { return threadIdx.x / CHUNKS + i * APART; }
    __device__ static unsigned term() { return threadIdx.x % CHUNKS * 8; }
    __device__ static unsigned place(unsigned i) {
        return Layout::place(threadIdx.x / CHUNKS, threadIdx.x % CHUNKS) + i * APART * Layout::STEP * 2;
    }
};

// Rows of patches, of maps whose channels are whole chunks.
template <typename T, typename Layout, unsigned ROWS, unsigned THREADS> class ChunkedPatches {
    using Mine = Share<Layout, ROWS, THREADS>;
    const Map& map;
    const T* input;
    Term term;
    Corner corners[Mine::COUNT];
    // What `Corner::pixel` says of the filter's pixel that the copies are at.
    int pixels[Mine::COUNT];

    __device__ void find_pixels() {
#pragma unroll
        for (unsigned i = 0; i < Mine::COUNT; i++) pixels[i] = corners[i].pixel(map, term);
    }

  public:
    __device__ ChunkedPatches(const Map& map, const T* input, unsigned first_row, unsigned first_term)
        : map(map), input(input), term(map, first_term + Mine::term()) {
#pragma unroll
        for (unsigned i = 0; i < Mine::COUNT; i++) corners[i] = Corner(map, first_row + Mine::row(i));
        find_pixels();
    }

    // Copies a step's terms.
    __device__ void copy(unsigned to) {
#pragma unroll
        for (unsigned i = 0; i < Mine::COUNT; i++) {
            bool there = pixels[i] >= 0;
            copy_chunk(to + Mine::place(i), input + (there ? unsigned(pixels[i]) + term.channel : 0), there);
        }
    }

    // Goes to the next step's terms.
    __device__ void advance() {
        if (term.advance(map, Layout::STEP)) find_pixels();
    }
};

// Filters of whole chunks.
template <typename T, typename Layout, unsigned ROWS, unsigned THREADS> class ChunkedFilters {
    using Mine = Share<Layout, ROWS, THREADS>;
    const T* weight;
    unsigned filters, depth, filter, term;

  public:
    __device__ ChunkedFilters(const T* weight, unsigned filters, unsigned depth, unsigned first, unsigned first_term)
        : weight(weight), filters(filters), depth(depth), filter(first + Mine::row(0)), term(first_term + Mine::term()) {}

    __device__ void copy(unsigned to) {
        unsigned index = filter * depth + term;
#pragma unroll
        for (unsigned i = 0; i < Mine::COUNT; i++) {
            bool there = filter + i * Mine::APART < filters && term < depth;
            copy_chunk(to + Mine::place(i), weight + (there ? index + i * Mine::APART * depth : 0), there);
        }
    }

    __device__ void advance() { term += Layout::STEP; }
};

// Rows of patches of maps of any number of channels, element by element.
template <typename T, typename Layout, unsigned ROWS, unsigned THREADS> class ScatteredPatches {
    using Mine = Share<Layout, ROWS, THREADS>;
    const Map& map;
    const T* input;
    unsigned first_term;
    Corner corners[Mine::COUNT];

  public:
    __device__ ScatteredPatches(const Map& map, const T* input, unsigned first_row, unsigned first_term)
        : map(map), input(input), first_term(first_term + Mine::term()) {
#pragma unroll
        for (unsigned i = 0; i < Mine::COUNT; i++) corners[i] = Corner(map, first_row + Mine::row(i));
    }

    __device__ void copy(unsigned to) {
        Chunk<T> chunks[Mine::COUNT];
#pragma unroll
        for (unsigned j = 0; j < 8; j++) {
            Term term(map, first_term + j);
#pragma unroll
            for (unsigned i = 0; i < Mine::COUNT; i++) {
                int pixel = corners[i].pixel(map, term);
                chunks[i].elements[j] = pixel < 0 ? from_float<T>(0.0f) : input[unsigned(pixel) + term.channel];
            }
        }
#pragma unroll
        for (unsigned i = 0; i < Mine::COUNT; i++) write_chunk(to + Mine::place(i), chunks[i]);
    }

    __device__ void advance() { first_term += Layout::STEP; }
};

// Filters of any size, element by element.
template <typename T, typename Layout, unsigned ROWS, unsigned THREADS> class ScatteredFilters {
    using Mine = Share<Layout, ROWS, THREADS>;
    const T* weight;
    unsigned filters, depth, first, first_term;

  public:
    __device__ ScatteredFilters(const T* weight, unsigned filters, unsigned depth, unsigned first, unsigned first_term)
        : weight(weight), filters(filters), depth(depth), first(first), first_term(first_term + Mine::term()) {}

    __device__ void copy(unsigned to) {
#pragma unroll
        for (unsigned i = 0; i < Mine::COUNT; i++) {
            unsigned filter = first + Mine::row(i);
            Chunk<T> chunk;
#pragma unroll
            for (unsigned j = 0; j < 8; j++) {
                unsigned term = first_term + j;
                bool zero = filter >= filters || term >= depth;
                chunk.elements[j] = zero ? from_float<T>(0.0f) : weight[filter * depth + term];
            }
            write_chunk(to + Mine::place(i), chunk);
        }
    }

    __device__ void advance() { first_term += Layout::STEP; }
};
