//! What it takes to compute an operation.

/// A file of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Module {
    Attention,
    /// Convolutions and linear layers.
    Conv2d,
    /// The same by `wgmma`, of [`Architecture::Sm90a`](crate::Architecture::Sm90a) alone.
    Conv2dWarpgroup,
    Norm,
    Pointwise,
    /// What a sampler does between two calls of the network.
    Sampler,
}

impl Module {
    pub const ALL: [Self; 6] =
        [Self::Attention, Self::Conv2d, Self::Conv2dWarpgroup, Self::Norm, Self::Pointwise, Self::Sampler];

    /// The file's name without its ending.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Conv2d => "conv2d",
            Self::Conv2dWarpgroup => "conv2d_warpgroup",
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

impl Plan {
    /// Of an operation on nothing.
    pub(crate) fn empty() -> Self {
        Self { workspaces: Vec::new(), launches: Vec::new() }
    }

    /// Of an operation that one kernel computes, with a thread for each of so many things, in blocks of 256 in a row.
    ///
    /// # Panics
    /// If there are more than 2³² - 1 things: the threads number them in 32 bits.
    pub(crate) fn of_threads(
        module: Module,
        kernel: &'static str,
        things: usize,
        arguments: impl Into<Vec<Argument>>,
    ) -> Self {
        const THREADS: u32 = 256;
        if things == 0 {
            return Self::empty();
        }
        let grid = [size(things).div_ceil(THREADS), 1, 1];
        let arguments = arguments.into();
        let launch = Launch { module, kernel, grid, block: [THREADS, 1, 1], shared_bytes: 0, arguments };
        Self { workspaces: Vec::new(), launches: vec![launch] }
    }
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

/// A size as kernels take it.
///
/// # Panics
/// If it needs more than 32 bits.
pub(crate) fn size(n: usize) -> u32 {
    u32::try_from(n).expect("a kernel's sizes have 32 bits")
}

#[cfg(test)]
mod tests {
    use super::{Module, Plan, size};

    #[test]
    fn there_are_blocks_for_all_threads_and_not_one_more() {
        for things in [1, 255, 256, 257, 1 << 20, u32::MAX as usize] {
            let plan = Plan::of_threads(Module::Pointwise, "k", things, []);
            let [x, 1, 1] = plan.launches[0].grid else { panic!("{plan:?}") };
            let [threads, 1, 1] = plan.launches[0].block else { panic!("{plan:?}") };
            assert!(x as usize * threads as usize >= things && (x as usize - 1) * (threads as usize) < things);
            assert!(x < 1 << 31);
        }
        assert_eq!(Plan::of_threads(Module::Pointwise, "k", 0, []), Plan::empty());
    }

    #[test]
    #[should_panic(expected = "32 bits")]
    fn a_size_that_does_not_fit_is_not_cut_off() {
        size(1 << 32);
    }
}
