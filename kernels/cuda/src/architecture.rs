//! Which devices there are kernels for.

/// What kernels are compiled for and a plan may ask of a device, by the name that nvcc has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Compute capability 8.0 and all later ones: the driver translates it.
    Sm80,
    /// Later capabilities than 9.0.
    Sm90,
    /// Compute capability 9.0 itself, Hopper: what there is for [`Self::Sm90`], and `wgmma`, which no other device has.
    Sm90a,
}

impl Architecture {
    pub const ALL: [Self; 3] = [Self::Sm80, Self::Sm90, Self::Sm90a];

    /// The best for a device of a compute capability, if there is one.
    pub fn for_capability(major: i32, minor: i32) -> Option<Self> {
        match (major, minor) {
            (9, 0) => Some(Self::Sm90a),
            (9.., _) => Some(Self::Sm90),
            (8, _) => Some(Self::Sm80),
            _ => None,
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
        assert_eq!(best(9, 0), Some(Architecture::Sm90a));
        assert_eq!([best(10, 0), best(12, 1)], [Some(Architecture::Sm90); 2]);
    }
}
