//! Special registers.

/// A register that says something about the thread. PTX ISA, "Special Registers".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Special {
    ThreadIndex(usize),
    BlockSize(usize),
    BlockIndex(usize),
    GridSize(usize),
    Lane,
    Warp,
    Warps,
    /// The lanes before, up to, from and after this one.
    LanesLess,
    LanesUpTo,
    LanesFrom,
    LanesAfter,
    Lanes,
    DynamicSharedBytes,
    TotalSharedBytes,
    /// Numbers that a program can do nothing with here: the multiprocessor, the grid.
    Zero,
    One,
}

impl Special {
    /// All of them are of 32 bits.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let axis = |axis: &str| ["x", "y", "z"].iter().position(|other| *other == axis);
        if let Some((name, of)) = name.split_once('.') {
            return match name {
                "%tid" => axis(of).map(Self::ThreadIndex),
                "%ntid" => axis(of).map(Self::BlockSize),
                "%ctaid" => axis(of).map(Self::BlockIndex),
                "%nctaid" => axis(of).map(Self::GridSize),
                _ => None,
            };
        }
        Some(match name {
            "%laneid" => Self::Lane,
            "%warpid" => Self::Warp,
            "%nwarpid" => Self::Warps,
            "%lanemask_eq" => Self::Lanes,
            "%lanemask_lt" => Self::LanesLess,
            "%lanemask_le" => Self::LanesUpTo,
            "%lanemask_ge" => Self::LanesFrom,
            "%lanemask_gt" => Self::LanesAfter,
            "%dynamic_smem_size" => Self::DynamicSharedBytes,
            "%total_smem_size" => Self::TotalSharedBytes,
            "%smid" | "%gridid" => Self::Zero,
            "%nsmid" => Self::One,
            _ => return None,
        })
    }

    /// Whether a name is that of a counter that runs.
    pub(crate) fn is_clock(name: &str) -> bool {
        matches!(name, "%clock" | "%clock64" | "%clock_hi" | "%globaltimer" | "%globaltimer_lo")
    }
}
