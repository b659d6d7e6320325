//! The compiled kernels.

use crate::{Architecture, Module};

macro_rules! ptx {
    ($module:literal, $architecture:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/", $module, ".", $architecture, ".ptx"))
    };
}

macro_rules! for_all {
    ($module:literal, $architecture:expr) => {
        match $architecture {
            Architecture::Sm80 => ptx!($module, "80"),
            Architecture::Sm90 | Architecture::Sm90a => ptx!($module, "90"),
        }
    };
}

impl Module {
    /// The module as PTX. Plans name [`Self::Conv2dWarpgroup`] for [`Architecture::Sm90a`] alone, which is all that it is compiled for.
    pub fn ptx(self, architecture: Architecture) -> &'static str {
        match self {
            Self::Attention => for_all!("attention", architecture),
            Self::Conv2d => for_all!("conv2d", architecture),
            Self::Conv2dWarpgroup => ptx!("conv2d_warpgroup", "90a"),
            Self::Norm => for_all!("norm", architecture),
            Self::Pointwise => for_all!("pointwise", architecture),
            Self::Sampler => for_all!("sampler", architecture),
        }
    }
}
