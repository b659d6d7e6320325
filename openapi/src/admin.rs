//! Keys, as those who run the server see them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::Scope;

/// A key, without what would let anyone use it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// The part of the key that is no secret; logs name it.
    #[schema(example = "5d0c2f6a91e84b37")]
    pub id: String,
    /// Whose it is, in the words of who made it.
    #[schema(example = "alice")]
    pub name: String,
    pub scopes: Vec<Scope>,
    pub limits: KeyLimits,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// What a key may use; what is absent is as the server's settings have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyLimits {
    /// Requests a minute; as many may come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub requests_per_minute: Option<u32>,
    /// Pixels times steps a minute; as many may be asked for at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub pixel_steps_per_minute: Option<u64>,
    /// Generations that may wait and run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_size: Option<u32>,
    /// Event streams that may be open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<u32>,
}

/// All keys, in the order of the key file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyList {
    /// Always `list`.
    #[schema(example = "list")]
    pub object: String,
    pub data: Vec<ApiKey>,
}
