//! Attention.

use std::f32::consts::LOG2_E;

use crate::{Argument, Element, Launch, Module, Plan};

/// The sizes of an attention. All tensors are contiguous: queries and the result are `(batch, queries, heads * width)`, keys and values
/// `(batch, keys, heads * width)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionShape {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    /// Channels of a head.
    pub width: usize,
}

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mask {
    /// All.
    None,
    /// Query i sees keys 0 to i.
    Causal,
}

/// Scaled dot-product attention of each head: `softmax(scale * q k^T) v` (Vaswani et al. 2017, "Attention Is All You Need", section
/// 3.2.1), without a matrix of scores (Dao 2023, "FlashAttention-2"; Milakov and Gimelshein 2018, "Online normalizer calculation for
/// softmax").
///
/// Tensors: q, k, v, output. Products are summed and the softmax is taken in float32. On tensor cores (float16 and bfloat16, no mask,
/// a width that is a multiple of 8 up to 512) the weights are rounded to the element type before they meet the values; elsewhere nothing
/// is rounded but the output. A masked key leaves no trace, whatever it holds; NaN in anything that a query sees is NaN in its output.
///
/// # Panics
/// Without a key, if `scale` is not above 0, or if a size does not fit into 32 bits.
pub fn attention(element: Element, shape: AttentionShape, scale: f32, mask: Mask) -> Plan {
    let AttentionShape { batch, queries, keys, heads, width } = shape;
    assert!(keys > 0, "a query sees at least one key");
    assert!(scale > 0.0, "the greatest score has the greatest weight");
    if [batch, queries, heads, width].contains(&0) {
        return Plan { workspaces: Vec::new(), launches: Vec::new() };
    }
    let u32 = |size: usize| u32::try_from(size).expect("sizes fit into 32 bits");
    let kernel = Kernel::choose(element, width, mask);
    let mut arguments: Vec<_> = (0..4).map(Argument::Tensor).collect();
    arguments.extend([queries, keys, heads, width].map(|size| Argument::U32(u32(size))));
    // The kernels' exponentials are powers of two.
    arguments.push(Argument::F32(scale * LOG2_E));
    arguments.extend(kernel.mask.map(|mask| Argument::U32(u32::from(mask == Mask::Causal))));
    let launch = Launch {
        module: Module::Attention,
        kernel: kernel.name,
        grid: [u32(queries.div_ceil(kernel.queries)), u32(heads * kernel.blocks_per_head), u32(batch)],
        block: [kernel.threads, 1, 1],
        shared_bytes: kernel.shared_bytes,
        arguments,
    };
    Plan { workspaces: Vec::new(), launches: vec![launch] }
}

/// A kernel of `attention.cu`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kernel {
    name: &'static str,
    /// That a block computes.
    queries: usize,
    /// That share a head's channels.
    blocks_per_head: usize,
    threads: u32,
    shared_bytes: u32,
    /// For the kernel that asks for it.
    mask: Option<Mask>,
}

/// `Narrow` in `attention_narrow.cuh`: the widest head, the queries of a block, and the names for float16 and bfloat16.
const NARROW: [(usize, usize, [&str; 2]); 7] = [
    (16, 128, ["attention_16_f16", "attention_16_bf16"]),
    (32, 128, ["attention_32_f16", "attention_32_bf16"]),
    (40, 128, ["attention_40_f16", "attention_40_bf16"]),
    (64, 128, ["attention_64_f16", "attention_64_bf16"]),
    (80, 128, ["attention_80_f16", "attention_80_bf16"]),
    (128, 64, ["attention_128_f16", "attention_128_bf16"]),
    (160, 64, ["attention_160_f16", "attention_160_bf16"]),
];

/// The widest head that tensor cores take: `WIDE_WIDTH` in `attention_wide.cuh`.
const WIDEST: usize = 512;

/// `PLAIN_SLICE` in `attention_plain.cuh`.
const PLAIN_SLICE: usize = 512;

impl Kernel {
    /// By the layer alone. Causal attention is that of text encoders, whose 77 tokens are over before tensor cores would pay, and where
    /// a masked key has to leave no trace; on tensor cores it would be multiplied by a weight of 0.
    fn choose(element: Element, width: usize, mask: Mask) -> Self {
        let plain = Self {
            name: element.choose("attention_plain_f32", "attention_plain_f16", "attention_plain_bf16"),
            queries: 32,
            blocks_per_head: width.div_ceil(PLAIN_SLICE),
            threads: 256,
            shared_bytes: 0,
            mask: Some(mask),
        };
        let version = match (element, mask) {
            (Element::F32, Mask::None) | (_, Mask::Causal) => return plain,
            (Element::F16, Mask::None) => 0,
            (Element::Bf16, Mask::None) => 1,
        };
        if !width.is_multiple_of(8) || width > WIDEST {
            return plain;
        }
        match NARROW.into_iter().find(|(widest, ..)| width <= *widest) {
            Some((_, queries, names)) => {
                Self { name: names[version], queries, blocks_per_head: 1, threads: 128, shared_bytes: 0, mask: None }
            }
            None => Self {
                name: ["attention_512_f16", "attention_512_bf16"][version],
                queries: 64,
                blocks_per_head: 1,
                threads: 256,
                shared_bytes: 138_752,
                mask: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AttentionShape, Kernel, Mask, PLAIN_SLICE, attention};
    use crate::Element;

    const SHAPE: AttentionShape = AttentionShape { batch: 2, queries: 77, keys: 77, heads: 3, width: 40 };

    fn kernel(element: Element, width: usize, mask: Mask) -> &'static str {
        Kernel::choose(element, width, mask).name
    }

    #[test]
    fn heads_of_known_models_lose_little_to_padding() {
        let names = [40, 64, 80, 160, 512].map(|width| kernel(Element::F16, width, Mask::None));
        assert_eq!(
            names,
            ["attention_40_f16", "attention_64_f16", "attention_80_f16", "attention_160_f16", "attention_512_f16"]
        );
        assert_eq!(kernel(Element::Bf16, 8, Mask::None), "attention_16_bf16");
        assert_eq!(kernel(Element::Bf16, 168, Mask::None), "attention_512_bf16");
    }

    #[test]
    fn what_tensor_cores_do_not_take_is_plain() {
        assert_eq!(kernel(Element::F32, 40, Mask::None), "attention_plain_f32");
        assert_eq!(kernel(Element::F16, 64, Mask::Causal), "attention_plain_f16");
        assert_eq!(kernel(Element::F16, 5, Mask::None), "attention_plain_f16");
        assert_eq!(kernel(Element::Bf16, 520, Mask::None), "attention_plain_bf16");
    }

    #[test]
    fn blocks_cover_all_queries_and_channels() {
        for element in Element::ALL {
            for mask in [Mask::None, Mask::Causal] {
                for width in 1..1100 {
                    let kernel = Kernel::choose(element, width, mask);
                    assert!(kernel.mask.is_none() || kernel.blocks_per_head * PLAIN_SLICE >= width);
                    assert!(kernel.shared_bytes <= 160 << 10);
                    for queries in [1, 63, 64, 65, 128, 129, 4096] {
                        let plan = attention(element, AttentionShape { queries, width, ..SHAPE }, 1.0, mask);
                        let [launch] = &plan.launches[..] else { panic!("one launch") };
                        let [x, y, z] = launch.grid.map(|blocks| blocks as usize);
                        assert!(x * kernel.queries >= queries && (x - 1) * kernel.queries < queries);
                        assert_eq!([y, z], [SHAPE.heads * kernel.blocks_per_head, SHAPE.batch]);
                    }
                }
            }
        }
    }

    #[test]
    fn the_batch_changes_nothing_but_the_number_of_blocks() {
        for element in Element::ALL {
            let [mut one, many] = [1, 64]
                .map(|batch| attention(element, AttentionShape { batch, ..SHAPE }, 0.5, Mask::None).launches.remove(0));
            one.grid[2] = 64;
            assert_eq!(one, many);
        }
    }

    #[test]
    fn nothing_is_launched_for_nothing() {
        for shape in [AttentionShape { batch: 0, ..SHAPE }, AttentionShape { queries: 0, ..SHAPE }] {
            let plan = attention(Element::F16, shape, 1.0, Mask::None);
            assert!(plan.launches.is_empty() && plan.workspaces.is_empty());
        }
    }
}
