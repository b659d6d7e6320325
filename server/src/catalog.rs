//! What the server knows of its models before any weights are loaded.

use std::fmt;
use std::time::Duration;

use x0_model::{Cost, ModelInfo, ModelKind, Request, RequestError};
use x0_openapi::PreviewDecoder;

/// The models, as validation and the model routes see them.
pub trait Catalog: fmt::Debug + Send + Sync + 'static {
    /// Every model, in the order in which they are listed.
    fn infos(&self) -> Vec<&ModelInfo>;

    fn info(&self, name: &str) -> Option<&ModelInfo>;

    /// Checks a request against its model, and says what it costs.
    fn plan(&self, name: &str, request: &Request) -> Result<Cost, RequestError>;

    /// What the model will do with the request that the client may not expect.
    fn warnings(&self, name: &str, request: &Request) -> Vec<String>;

    /// How the model's predictions can be shown, besides `auto` and `none`.
    fn preview_decoders(&self, name: &str) -> Vec<PreviewDecoder>;

    /// What `auto` means for a request that [`plan`](Catalog::plan) accepts.
    fn auto_preview(&self, name: &str, request: &Request) -> PreviewDecoder;

    /// Whether the model's weights are in memory.
    fn is_loaded(&self, name: &str) -> bool;

    /// Reads the model's weights, if they are not in memory. Takes long, and gives what went wrong in the operator's words.
    fn load(&self, name: &str) -> Result<(), String>;

    /// How long reading the model's weights took, the last time.
    fn load_duration(&self, name: &str) -> Option<Duration>;

    /// Gives back the memory of the model's weights once nobody uses them.
    fn unload(&self, name: &str);
}

/// The model that a request gets which names none but needs one of this kind: the first that was chosen by the operator,
/// otherwise the first that is embedded, otherwise the first.
pub fn default_model<'a>(catalog: &'a dyn Catalog, chosen: &[String], kind: ModelKind) -> Option<&'a ModelInfo> {
    let of_kind = |info: &&ModelInfo| info.kind == kind;
    let infos = catalog.infos();
    let by_choice = chosen.iter().filter_map(|name| catalog.info(name)).find(of_kind);
    let embedded = infos.iter().copied().filter(of_kind).find(|info| info.embedded);
    by_choice.or(embedded).or_else(|| infos.into_iter().find(of_kind))
}
