//! The compiled kernels.

use crate::Module;

/// Architectures that there is PTX for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Compute capability 8.0 and all later ones: the driver translates it.
    Sm80,
    /// Compute capability 9.0, Hopper, and later.
    Sm90,
}

impl Architecture {
    pub const ALL: [Self; 2] = [Self::Sm80, Self::Sm90];

    /// The best for a device of a compute capability, if there is one.
    pub fn for_capability(major: i32, minor: i32) -> Option<Self> {
        match (major, minor) {
            (9.., _) => Some(Self::Sm90),
            (8, _) => Some(Self::Sm80),
            _ => None,
        }
    }
}

macro_rules! ptx {
    ($module:literal, $architecture:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/", $module, ".", $architecture, ".ptx"))
    };
}

impl Module {
    /// The module as PTX.
    pub fn ptx(self, architecture: Architecture) -> &'static str {
        match (self, architecture) {
            (Self::Attention, Architecture::Sm80) => ptx!("attention", "80"),
            (Self::Attention, Architecture::Sm90) => ptx!("attention", "90"),
            (Self::Conv2d, Architecture::Sm80) => ptx!("conv2d", "80"),
            (Self::Conv2d, Architecture::Sm90) => ptx!("conv2d", "90"),
            (Self::Norm, Architecture::Sm80) => ptx!("norm", "80"),
            (Self::Norm, Architecture::Sm90) => ptx!("norm", "90"),
            (Self::Pointwise, Architecture::Sm80) => ptx!("pointwise", "80"),
            (Self::Pointwise, Architecture::Sm90) => ptx!("pointwise", "90"),
            (Self::Sampler, Architecture::Sm80) => ptx!("sampler", "80"),
            (Self::Sampler, Architecture::Sm90) => ptx!("sampler", "90"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Architecture;

    #[test]
    fn a_device_gets_the_newest_that_it_can_run() {
        let best = |major, minor| Architecture::for_capability(major, minor);
        assert_eq!([best(7, 5), best(8, 0), best(8, 9)], [None, Some(Architecture::Sm80), Some(Architecture::Sm80)]);
        assert_eq!([best(9, 0), best(10, 0), best(12, 1)], [Some(Architecture::Sm90); 3]);
    }
}
