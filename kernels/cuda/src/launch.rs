//! What it takes to compute an operation.

/// A file of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Module {
    Attention,
    /// Convolutions and linear layers.
    Conv2d,
    Norm,
    Pointwise,
    /// What a sampler does between two calls of the network.
    Sampler,
}

impl Module {
    pub const ALL: [Self; 5] = [Self::Attention, Self::Conv2d, Self::Norm, Self::Pointwise, Self::Sampler];

    /// The file's name without its ending.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Conv2d => "conv2d",
            Self::Norm => "norm",
            Self::Pointwise => "pointwise",
            Self::Sampler => "sampler",
        }
    }
}

/// How an operation is computed: launches, one after the other.
///
/// They name their tensors by number: first the operation's inputs, then its outputs, in the order that the function which made the
/// plan states, then the plan's own working memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Bytes of each buffer that holds what later launches need. Nothing is expected to be in them.
    pub workspaces: Vec<usize>,
    pub launches: Vec<Launch>,
}

/// One start of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub module: Module,
    /// The kernel's name in its module.
    pub kernel: &'static str,
    /// Blocks in each direction; none of them is 0.
    pub grid: [u32; 3],
    /// Threads of a block in each direction.
    pub block: [u32; 3],
    /// Bytes of shared memory beside what the kernel declares.
    pub shared_bytes: u32,
    /// In the kernel's order.
    pub arguments: Vec<Argument>,
}

/// What is passed to a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument {
    /// A pointer to the beginning of a tensor, by its number (see [`Plan`]).
    Tensor(usize),
    /// A null pointer, in the place of a tensor that is not there.
    Null,
    U32(u32),
    F32(f32),
    F64(f64),
}
