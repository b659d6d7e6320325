//! From what a picture's file says to a request that makes it again.

use serde_json::{Map, Value};
use x0_openapi::{GenerationRequest, PictureSettings, SettingsSource, parse};

use super::{Infotext, settings};
use crate::catalog::Catalog;
use crate::picture::{INFOTEXT_KEYWORD, TEXT_KEYWORD};

/// Fields that mean nothing without the picture that it started from, which is not in the file.
const OF_PICTURES: [&str; 6] = ["init_image", "init_resize", "mask_image", "mask_where", "inpaint", "strength"];

/// Reads the texts of a file: our own request, or else AUTOMATIC1111's text.
pub fn recovered(texts: &[(String, String)], catalog: &dyn Catalog) -> PictureSettings {
    let text = |keyword: &str| texts.iter().find(|(known, _)| known == keyword).map(|(_, text)| text.as_str());
    if let Some(request) = text(TEXT_KEYWORD).and_then(|text| own(text, catalog)) {
        return PictureSettings { source: Some(SettingsSource::X0), request };
    }
    match text(INFOTEXT_KEYWORD) {
        Some(text) => PictureSettings {
            source: Some(SettingsSource::Automatic1111),
            request: settings(&Infotext::parse(text), catalog),
        },
        None => PictureSettings { source: None, request: Map::new() },
    }
}

/// The fields of our own request that are well-formed; `None` if it is no JSON object.
fn own(text: &str, catalog: &dyn Catalog) -> Option<Map<String, Value>> {
    let mut json = parse(text.as_bytes()).ok()?;
    let fields = json.0.as_object_mut()?;
    OF_PICTURES.iter().for_each(|field| drop(fields.remove(*field)));
    let (mut request, _) = GenerationRequest::read(json).ok()?;
    request.model.take_if(|name| catalog.info(name).is_none());
    serde_json::to_value(request).ok()?.as_object().cloned()
}
