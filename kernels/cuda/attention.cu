// Multi-head scaled dot-product attention, softmax(scale * q k^T) v, without a matrix of scores. Tensors are (batch, tokens, heads,
// channels), `width` channels a head, `queries` tokens in q and out, `keys` in k and v. `scale` comes times the binary logarithm of e, as
// the exponentials are powers of two.
//
// A query goes through the keys in order, whatever else is computed beside it.

#include "attention_narrow.cuh"
#include "attention_plain.cuh"
#include "attention_wide.cuh"

#define TENSORS(T) const T *q, const T *k, const T *v, T *out
#define SIZES unsigned queries, unsigned keys, unsigned heads, unsigned width, float scale

#define NARROW(WIDTH, SUFFIX, T)                                                                                      \
    extern "C" __global__ void __launch_bounds__(attention::NARROW_WARPS * 32, attention::Narrow<WIDTH>::BLOCKS)      \
        attention_##WIDTH##_##SUFFIX(TENSORS(T), SIZES) {                                                             \
        attention::narrow<T, WIDTH>(q, k, v, out, queries, keys, heads, width, scale);                                \
    }

#define WIDE(SUFFIX, T)                                                               \
    extern "C" __global__ void __launch_bounds__(attention::WIDE_WARPS * 32)          \
        attention_512_##SUFFIX(TENSORS(T), SIZES) {                                   \
        attention::wide(q, k, v, out, queries, keys, heads, width, scale);            \
    }

#define PLAIN(SUFFIX, T)                                                              \
    extern "C" __global__ void __launch_bounds__(attention::PLAIN_WARPS * 32)         \
        attention_plain_##SUFFIX(TENSORS(T), SIZES, unsigned causal) {                \
        attention::plain(q, k, v, out, queries, keys, heads, width, scale, causal);   \
    }

#define TENSOR_CORES(SUFFIX, T) \
    NARROW(16, SUFFIX, T)       \
    NARROW(32, SUFFIX, T)       \
    NARROW(40, SUFFIX, T)       \
    NARROW(64, SUFFIX, T)       \
    NARROW(80, SUFFIX, T)       \
    NARROW(128, SUFFIX, T)      \
    NARROW(160, SUFFIX, T)      \
    WIDE(SUFFIX, T)

TENSOR_CORES(f16, __half)
TENSOR_CORES(bf16, __nv_bfloat16)
PLAIN(f32, float)
PLAIN(f16, __half)
PLAIN(bf16, __nv_bfloat16)
