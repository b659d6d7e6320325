// Which pixels lie under a filter.
#pragma once

// The sizes of a convolution. Each tensor has fewer than 2^31 elements, so that 32 bits are enough for any index.
struct Map {
    // Positions of the outputs of all images: rows of the matrix product that a convolution is.
    unsigned rows;
    // The input, before it is enlarged or padded.
    unsigned height, width, channels;
    unsigned kernel_height, kernel_width;
    // Positions of one image's output, and of one line of it.
    unsigned positions, out_width;
    unsigned stride;
    // Zeros before the first line and column. Those after the last ones follow from the size of the output.
    unsigned before;
    // 1 if each pixel is first repeated to twice the height and width, else 0.
    unsigned upsample;

    // Terms of a sum, which are the filter's pixels one after the other, each with all of its channels.
    __device__ unsigned depth() const { return kernel_height * kernel_width * channels; }
};

// A pixel of a filter, by its line and column, and one of its channels: a place in a sum.
struct Term {
    unsigned line, column, channel;

    __device__ Term(const Map& map, unsigned index) {
        unsigned tap = index / map.channels;
        line = tap / map.kernel_width;
        column = tap % map.kernel_width;
        channel = index % map.channels;
    }

    // Goes `count` places on; says whether that led to another pixel.
    __device__ bool advance(const Map& map, unsigned count) {
        channel += count;
        if (channel < map.channels) return false;
        do {
            channel -= map.channels;
            if (++column == map.kernel_width) {
                column = 0;
                line++;
            }
        } while (channel >= map.channels);
        return true;
    }
};

// Where the filter's first pixel lies for one row, in the enlarged map without its padding.
struct Corner {
    int y, x;
    // Of the image's first pixel.
    unsigned first;

    Corner() = default;

    __device__ Corner(const Map& map, unsigned row) {
        unsigned image = row / map.positions;
        unsigned position = row % map.positions;
        // A row that there is not lies far outside of the map, and reads zeros.
        y = row < map.rows ? int(position / map.out_width * map.stride) - int(map.before) : -(1 << 30);
        x = int(position % map.out_width * map.stride) - int(map.before);
        first = image * map.height * map.width;
    }

    // The index of the first channel of the pixel that a pixel of the filter lies on; negative outside of the map.
    __device__ int pixel(const Map& map, const Term& term) const {
        // A position before the map becomes a huge number, which the comparisons refuse too.
        unsigned line = unsigned(y) + term.line, column = unsigned(x) + term.column;
        if (term.line >= map.kernel_height || line >= map.height << map.upsample || column >= map.width << map.upsample)
            return -1;
        return int((first + (line >> map.upsample) * map.width + (column >> map.upsample)) * map.channels);
    }
};
