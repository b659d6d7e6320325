//! Models, in Replicate's words.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicateModel {
    /// Where this answer is.
    pub url: String,
    /// Always `x0`.
    #[schema(example = "x0")]
    pub owner: String,
    #[schema(example = "fashion")]
    pub name: String,
    pub description: Option<String>,
    /// Always `public`.
    #[schema(example = "public")]
    pub visibility: String,
    pub github_url: Option<String>,
    pub paper_url: Option<String>,
    pub license_url: Option<String>,
    /// Always 0: runs are not counted by model here.
    pub run_count: u64,
    pub cover_image_url: Option<String>,
    /// Always null.
    #[schema(value_type = Option<Object>)]
    pub default_example: Option<Value>,
    pub latest_version: ReplicateVersion,
}

/// The one version of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicateVersion {
    /// The model's name.
    #[schema(example = "fashion")]
    pub id: String,
    /// When this server came to know it.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Empty: it was not made with Cog.
    pub cog_version: String,
    /// An OpenAPI document whose schemas `Input` and `Output` say what the model takes and gives.
    #[schema(value_type = Object)]
    pub openapi_schema: Value,
}

/// A model's versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicateVersionList {
    /// Always null.
    pub previous: Option<String>,
    /// Always null.
    pub next: Option<String>,
    pub results: Vec<ReplicateVersion>,
}
