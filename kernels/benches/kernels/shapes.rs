//! The shapes at which kernels are timed.

use crate::machine::MULTIPLY_ADDS;

/// One kernel at one shape.
pub(crate) struct Case {
    pub(crate) kernel: Kernel,
    /// `name=number` pairs, from which `compare.py` makes the same for torch.
    pub(crate) shape: String,
    pub(crate) flops: u64,
    pub(crate) bytes: u64,
}

#[derive(Clone, Copy)]
pub(crate) enum Kernel {
    Fma {
        threads: usize,
    },
    Read {
        megabytes: usize,
    },
    /// Square maps; `size` is the input's.
    Conv2d {
        batch: usize,
        size: usize,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        upsample: usize,
    },
    Linear {
        rows: usize,
        inputs: usize,
        outputs: usize,
    },
    Attention {
        batch: usize,
        queries: usize,
        keys: usize,
        heads: usize,
        width: usize,
    },
    /// 32 groups, then SiLU.
    GroupNormSilu {
        batch: usize,
        size: usize,
        channels: usize,
    },
    LayerNorm {
        rows: usize,
        channels: usize,
    },
    Geglu {
        rows: usize,
        channels: usize,
    },
}

impl Kernel {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fma { .. } => "fma",
            Self::Read { .. } => "read",
            Self::Conv2d { .. } => "conv2d",
            Self::Linear { .. } => "linear",
            Self::Attention { .. } => "attention",
            Self::GroupNormSilu { .. } => "group_norm_silu",
            Self::LayerNorm { .. } => "layer_norm",
            Self::Geglu { .. } => "geglu",
        }
    }

    fn shape(self) -> String {
        match self {
            Self::Fma { threads } => format!("threads={threads}"),
            Self::Read { megabytes } => format!("megabytes={megabytes}"),
            Self::Conv2d { batch, size, inputs, outputs, kernel, stride, upsample } => format!(
                "batch={batch} size={size} inputs={inputs} outputs={outputs} kernel={kernel} stride={stride} upsample={upsample}"
            ),
            Self::Linear { rows, inputs, outputs } => format!("rows={rows} inputs={inputs} outputs={outputs}"),
            Self::Attention { batch, queries, keys, heads, width } => {
                format!("batch={batch} queries={queries} keys={keys} heads={heads} width={width}")
            }
            Self::GroupNormSilu { batch, size, channels } => format!("batch={batch} size={size} channels={channels}"),
            Self::LayerNorm { rows, channels } | Self::Geglu { rows, channels } => {
                format!("rows={rows} channels={channels}")
            }
        }
    }

    /// Floating-point operations, a multiply-add being two, and numbers read and written.
    fn work(self) -> (usize, usize) {
        match self {
            Self::Fma { threads } => (threads * MULTIPLY_ADDS * 32, 0),
            Self::Read { megabytes } => (0, megabytes << 18),
            Self::Conv2d { batch, size, inputs, outputs, kernel, stride, upsample } => {
                let area = (size * (1 + upsample) / stride).pow(2);
                let filters = kernel * kernel * inputs * outputs;
                (2 * batch * area * filters, batch * size * size * inputs + filters + batch * area * outputs)
            }
            Self::Linear { rows, inputs, outputs } => {
                (2 * rows * inputs * outputs, rows * (inputs + outputs) + inputs * outputs)
            }
            Self::Attention { batch, queries, keys, heads, width } => {
                (4 * batch * heads * queries * keys * width, 2 * batch * heads * width * (queries + keys))
            }
            Self::GroupNormSilu { batch, size, channels } => (0, 3 * batch * size * size * channels),
            Self::LayerNorm { rows, channels } => (0, 2 * rows * channels),
            Self::Geglu { rows, channels } => (0, 3 * rows * channels),
        }
    }
}

/// 3×3 convolutions: batch, size, inputs, outputs.
const CONVOLUTIONS: [[usize; 4]; 28] = [
    // Stable Diffusion 1.5 at 512 pixels, guided.
    [2, 64, 320, 320],
    [2, 64, 640, 320],
    [2, 64, 960, 320],
    [2, 32, 640, 640],
    [2, 32, 1280, 640],
    [2, 32, 1920, 640],
    [2, 16, 1280, 1280],
    [2, 16, 2560, 1280],
    [2, 8, 1280, 1280],
    [2, 8, 2560, 1280],
    // At 256 pixels.
    [2, 32, 320, 320],
    [2, 16, 640, 640],
    [2, 4, 1280, 1280],
    // Beginning and end.
    [2, 64, 4, 320],
    [2, 64, 320, 4],
    // Stable Diffusion XL at 1024 pixels.
    [2, 128, 320, 320],
    // The autoencoder at 512 pixels.
    [1, 64, 512, 512],
    [1, 128, 512, 512],
    [1, 256, 256, 256],
    [1, 512, 128, 128],
    [1, 512, 128, 3],
    // Emoji and fashion.
    [2, 16, 64, 64],
    [2, 8, 128, 128],
    [2, 16, 144, 144],
    [2, 4, 192, 192],
    [2, 32, 32, 32],
    [2, 16, 64, 64],
    [2, 8, 256, 256],
];

/// Rows, inputs, outputs.
const LINEAR: [[usize; 3]; 14] = [
    [8192, 320, 320],
    [8192, 320, 2560],
    [8192, 1280, 320],
    [2048, 640, 640],
    [2048, 640, 5120],
    [2048, 2560, 640],
    [512, 1280, 1280],
    [512, 1280, 10240],
    [512, 5120, 1280],
    [128, 1280, 10240],
    [154, 768, 3072],
    [2, 1280, 1280],
    [512, 64, 64],
    [128, 128, 1024],
];

/// Batch, queries, keys, heads, width.
const ATTENTION: [[usize; 5]; 10] = [
    [2, 4096, 4096, 8, 40],
    [2, 4096, 77, 8, 40],
    [2, 1024, 1024, 8, 80],
    [2, 1024, 77, 8, 80],
    [2, 256, 256, 8, 160],
    [2, 64, 64, 8, 160],
    [2, 1024, 1024, 20, 64],
    [1, 4096, 4096, 1, 512],
    [2, 64, 64, 4, 32],
    [2, 256, 256, 2, 32],
];

pub(crate) fn all() -> Vec<Case> {
    let threads = x0_kernels::threads();
    let mut kernels = vec![Kernel::Fma { threads: 1 }, Kernel::Fma { threads }, Kernel::Read { megabytes: 512 }];
    let conv = |batch, size, inputs, outputs, kernel, stride, upsample| Kernel::Conv2d {
        batch,
        size,
        inputs,
        outputs,
        kernel,
        stride,
        upsample,
    };
    for [batch, size, inputs, outputs] in CONVOLUTIONS {
        kernels.push(conv(batch, size, inputs, outputs, 3, 1, 0));
    }
    kernels.extend([
        conv(2, 64, 320, 320, 3, 2, 0),
        conv(2, 32, 640, 640, 3, 1, 1),
        conv(2, 8, 1280, 1280, 3, 1, 1),
        conv(1, 256, 256, 256, 3, 1, 1),
        conv(2, 64, 640, 320, 1, 1, 0),
        conv(2, 16, 2560, 1280, 1, 1, 0),
    ]);
    kernels.extend(LINEAR.map(|[rows, inputs, outputs]| Kernel::Linear { rows, inputs, outputs }));
    kernels.extend(ATTENTION.map(|[batch, queries, keys, heads, width]| Kernel::Attention {
        batch,
        queries,
        keys,
        heads,
        width,
    }));
    for [batch, size, channels] in [[2, 64, 320], [2, 32, 640], [2, 16, 1280], [1, 512, 128], [2, 16, 64]] {
        kernels.push(Kernel::GroupNormSilu { batch, size, channels });
    }
    for [rows, channels] in [[8192, 320], [512, 1280]] {
        kernels.push(Kernel::LayerNorm { rows, channels });
    }
    for [rows, channels] in [[8192, 1280], [512, 5120]] {
        kernels.push(Kernel::Geglu { rows, channels });
    }
    let case = |kernel: Kernel| {
        let (flops, numbers) = kernel.work();
        Case { kernel, shape: kernel.shape(), flops: flops as u64, bytes: 4 * numbers as u64 }
    };
    kernels.into_iter().map(case).collect()
}
