//! How a picture was made, read from its file.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::json::{Fields, Json};
use crate::names::named;
use crate::problem::{ErrorCode, FieldError};

/// A picture whose settings are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PictureSettingsRequest {
    /// Base64 of a PNG, JPEG or WebP file, or a data URL of one.
    pub image: Option<String>,
}

/// What a picture's file says about how it was made.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PictureSettings {
    /// `null` where the file says nothing.
    pub source: Option<SettingsSource>,
    /// Fields of a request that makes it again, as far as they are known here. Pictures that it started from are not in its file.
    #[schema(value_type = Object)]
    pub request: Map<String, Value>,
}

named! {
    /// In which form a file says how it was made.
    SettingsSource {
        /// This server's: the request.
        X0 = "x0",
        /// AUTOMATIC1111's text, which many programs write.
        Automatic1111 = "automatic1111",
    }
}

impl PictureSettingsRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// If it is not an object.
    pub fn read(json: Json) -> Result<(Self, Vec<FieldError>), FieldError> {
        let mut fields = Fields::new(json)?;
        let request = Self { image: fields.text("image") };
        if request.image.is_none() && !fields.failed("image") {
            fields.fail("image", ErrorCode::MissingParameter, "there is no picture");
        }
        Ok((request, fields.finish()))
    }
}
