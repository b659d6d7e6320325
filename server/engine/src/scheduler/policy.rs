//! How the scheduler chooses, and how that is written.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// How the scheduler chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The call of greatest value per second, fair between tenants, without starvation.
    #[default]
    BestValue,
    /// The oldest job first, one image at a time, to its end. A baseline.
    FirstCome,
    /// So many of the oldest images together, until all of them are done. A baseline.
    FixedBatch(NonZeroU32),
}

/// A text that is no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be best-value, first-come or fixed-batch:N")]
pub struct UnknownPolicy;

impl fmt::Display for Policy {
    /// As [`FromStr`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BestValue => f.write_str("best-value"),
            Self::FirstCome => f.write_str("first-come"),
            Self::FixedBatch(size) => write!(f, "fixed-batch:{size}"),
        }
    }
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        match text.split_once(':') {
            None if text == "best-value" => Ok(Self::BestValue),
            None if text == "first-come" => Ok(Self::FirstCome),
            Some(("fixed-batch", size)) => size.parse().map(Self::FixedBatch).map_err(|_| UnknownPolicy),
            None | Some(_) => Err(UnknownPolicy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_as_it_is_written() {
        for policy in [Policy::BestValue, Policy::FirstCome, Policy::FixedBatch(NonZeroU32::MIN)] {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        for text in ["", "best", "fixed-batch", "fixed-batch:0", "first-come:1"] {
            assert_eq!(text.parse::<Policy>(), Err(UnknownPolicy), "{text}");
        }
    }
}
