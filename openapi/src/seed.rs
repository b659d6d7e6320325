//! Seeds: 64 bits, which is more than JavaScript's numbers hold.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The number that the noise of an image is drawn from.
///
/// It is written as a JSON number up to 2^53 - 1, which every client reads exactly, and as a string of digits above. Both
/// are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

impl Seed {
    /// The largest integer up to which all are exact in a double: 2^53 - 1.
    pub const MAX_NUMBER: u64 = (1 << 53) - 1;
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 <= Self::MAX_NUMBER { serializer.serialize_u64(self.0) } else { serializer.collect_str(self) }
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SeedVisitor;

        impl Visitor<'_> for SeedVisitor {
            type Value = Seed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer from 0 to 2^64 - 1, as a number or as a string of digits")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Seed, E> {
                Ok(Seed(value))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Seed, E> {
                value.parse().map(Seed).map_err(|_| E::invalid_value(Unexpected::Str(value), &self))
            }
        }

        deserializer.deserialize_any(SeedVisitor)
    }
}

impl PartialSchema for Seed {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9]{1,20}$"));
        OneOfBuilder::new()
            .item(number)
            .item(text)
            .description(Some("A seed, 0 to 2^64 - 1. Written as a string above 2^53 - 1."))
            .into()
    }
}

impl ToSchema for Seed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_survive_json() {
        for (seed, json) in [(0, "0"), (Seed::MAX_NUMBER, "9007199254740991"), (1 << 53, "\"9007199254740992\"")] {
            assert_eq!(serde_json::to_string(&Seed(seed)).unwrap(), json);
            assert_eq!(serde_json::from_str::<Seed>(json).unwrap(), Seed(seed));
        }
        assert_eq!(serde_json::from_str::<Seed>("\"18446744073709551615\"").unwrap(), Seed(u64::MAX));
        for wrong in ["-1", "1.5", "\"\"", "\"x\"", "\"18446744073709551616\"", "null"] {
            assert!(serde_json::from_str::<Seed>(wrong).is_err(), "{wrong}");
        }
    }
}
