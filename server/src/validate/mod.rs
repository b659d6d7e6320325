//! From what a client sent to an order that can be carried out. [`Validator::order`] is the only way to make an [`Order`].

mod checks;
mod condition;
mod general;
mod highres;
mod limits;
mod order;
mod preview;
mod sampling;
mod size;
mod start;
mod variation;

use std::sync::Arc;

use x0_model::{Conditioning, Cost, Highres, ModelInfo, ModelKind, Request, RequestError};
use x0_openapi::{
    ClassLabel, ErrorCode, FieldError, GenerationRequest, ImageFormat, InitResize, InputImage, OnDisconnect,
    PreviewDecoder, ResolvedHighres, ResolvedInpaint, ResolvedOutput, ResolvedPreview, ResolvedRequest,
    ResolvedVariation, Seed,
};

pub use limits::Limits;
pub use order::{Order, Work, request_of_image};
pub use sampling::{noise_schedule_name, timestep_spacing_name};

use crate::catalog::{Catalog, default_model};
use crate::fetch::Fetched;
use crate::infotext::infotext;
use crate::picture::fits_in_jpeg;
use checks::{Checks, quoted};
use general::General;

/// Checks requests against the server's limits and its models.
#[derive(Clone, Debug)]
pub struct Validator {
    catalog: Arc<dyn Catalog>,
    /// The operator's choice of models for requests that name none.
    default_models: Vec<String>,
    limits: Limits,
}

/// What the kind of answer that a client wants means for its request.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Whether the answer is the picture itself.
    pub one_image: bool,
    /// The format of the pictures, if the request does not say.
    pub format: ImageFormat,
    /// What happens when the client goes away, if the request does not say.
    pub on_disconnect: OnDisconnect,
}

impl Validator {
    pub fn new(catalog: Arc<dyn Catalog>, default_models: Vec<String>, limits: Limits) -> Self {
        Self { catalog, default_models, limits }
    }

    pub fn catalog_handle(&self) -> Arc<dyn Catalog> {
        self.catalog.clone()
    }

    pub fn catalog(&self) -> &dyn Catalog {
        &*self.catalog
    }

    /// Whether a request that names no model gets this one, if it needs one of this kind.
    pub fn is_default(&self, info: &ModelInfo) -> bool {
        default_model(self.catalog(), &self.default_models, info.kind).is_some_and(|default| default.name == info.name)
    }

    /// Fills in every default, and finds everything that is wrong. It may decode pictures and tokenise prompts, so it is work for
    /// the blocking pool.
    pub fn order(&self, request: &GenerationRequest, answer: &Answer) -> Result<Order, Vec<FieldError>> {
        self.order_after(Vec::new(), request, &Fetched::default(), answer)
    }

    /// As [`order`](Self::order), for a request in which `errors` were found when it was read, and whose addresses of pictures were
    /// followed as far as `fetched` says.
    pub fn order_after(
        &self,
        errors: Vec<FieldError>,
        request: &GenerationRequest,
        fetched: &Fetched,
        answer: &Answer,
    ) -> Result<Order, Vec<FieldError>> {
        let mut checks = Checks::after(errors);
        let general = General::check(&mut checks, request, answer, &self.limits);
        let order = match self.model(&mut checks, request) {
            Some(info) => self.order_of(&mut checks, request, fetched, general, info),
            None => None,
        };
        checks.finish(order)
    }

    /// Whether the model that a request gets can start from a picture; where it cannot, the picture is not worth fetching.
    pub fn takes_pictures(&self, request: &GenerationRequest) -> bool {
        self.model_of(request).is_some_and(|info| info.image_to_image)
    }

    /// The model that a request gets: the one that it names, otherwise the default for what it gives.
    pub fn model_of(&self, request: &GenerationRequest) -> Option<&ModelInfo> {
        match &request.model {
            Some(name) => self.catalog.info(name),
            None => self.default_for(is_of_text(request)),
        }
    }

    /// The steps of a request that does not say: the model's, as far as this server allows.
    pub fn default_steps(&self, info: &ModelInfo) -> u32 {
        info.defaults.steps.min(self.limits.steps)
    }

    /// The guidance scale of a request that does not say: the model's, as far as this server allows.
    pub fn default_guidance_scale(&self, info: &ModelInfo) -> f64 {
        info.defaults.guidance_scale.min(self.limits.guidance_scale)
    }

    /// The steps that a request may ask for at most.
    pub fn most_steps(&self) -> u32 {
        self.limits.steps
    }

    /// Fits the request of a client that knows nothing but prompts to its model: a class-conditional model gets the prompt as its
    /// class's name, and empty prompts are left out where they would mean nothing.
    pub fn fit_prompts(&self, request: &mut GenerationRequest) {
        let kind = self.model_of(request).map_or(ModelKind::TextToImage, |info| info.kind);
        if kind == ModelKind::TextToImage {
            return;
        }
        request.prompt.take_if(|prompt| prompt.is_empty());
        request.negative_prompt.take_if(|prompt| prompt.is_empty());
        request.prompt_syntax = None;
        if kind == ModelKind::ClassConditional && request.class_label.is_none() {
            // The model must not be chosen anew when there is no prompt any more.
            request.model = self.model_of(request).map(|info| info.name.clone());
            request.class_label = request.prompt.take().map(ClassLabel::Name);
        }
    }

    fn default_for(&self, is_of_text: bool) -> Option<&ModelInfo> {
        let kinds = if is_of_text {
            [ModelKind::TextToImage, ModelKind::ClassConditional, ModelKind::Unconditional]
        } else {
            [ModelKind::ClassConditional, ModelKind::Unconditional, ModelKind::TextToImage]
        };
        kinds.into_iter().find_map(|kind| default_model(self.catalog(), &self.default_models, kind))
    }

    fn model(&self, checks: &mut Checks, request: &GenerationRequest) -> Option<&ModelInfo> {
        if checks.found("model") {
            return None;
        }
        if let Some(name) = &request.model {
            let info = self.catalog.info(name);
            if info.is_none() {
                checks.fail(
                    "model",
                    ErrorCode::ModelNotFound,
                    format!("no model {}; GET /v1/models lists all", quoted(name)),
                );
            }
            return info;
        }
        // A prompt of the wrong type was meant as one.
        let info = self.default_for(is_of_text(request) || checks.found("prompt"));
        if info.is_none() {
            checks.fail("model", ErrorCode::ModelNotFound, "this server has no models");
        }
        info
    }

    /// The part of the checks that depends on the model.
    fn order_of(
        &self,
        checks: &mut Checks,
        request: &GenerationRequest,
        fetched: &Fetched,
        general: General,
        info: &ModelInfo,
    ) -> Option<Order> {
        let condition = condition::condition(checks, request, info, &self.limits);
        let start = start::start(checks, request, fetched, general.strength, info, &self.limits);
        let sampler = sampling::sampler(checks, request, general.eta, info);
        let start_size = start.as_ref().map(start::Start::picture);
        let (width, height) = size::size(checks, (general.width, general.height), start_size, info, &self.limits);
        let variation = variation::variation(checks, request.variation, general.n);
        let steps = general.steps.unwrap_or_else(|| self.default_steps(info));
        let highres = highres::highres(checks, request.highres, steps, (width, height), info, &self.limits);
        let side = highres.map_or(width.max(height), |highres| highres.width.max(highres.height));
        let decoders = self.catalog.preview_decoders(&info.name);
        let preview = preview::preview(checks, request.preview, side, &decoders, &self.limits);
        let guidance_scale = self.guidance(checks, &general, info);
        self.check_cost(checks, &general, (steps, width, height), highres);
        if checks.any() {
            return None;
        }
        let given = start.as_ref().map(Given::new).unwrap_or_default();
        let prepared = start.map(|start| start.prepared((width, height)));
        let (init, overlay) = prepared.map(|prepared| (prepared.init, prepared.overlay)).unzip();

        let request = Request {
            conditioning: condition?,
            seed: general.seed.0,
            noise_source: request.noise_source.map(sampling::noise_source_of).unwrap_or_default(),
            variation,
            width,
            height,
            steps,
            guidance_scale,
            guidance_rescale: general.guidance_rescale,
            sampler,
            clip_skip: general.clip_skip,
            init,
            highres,
        };
        let cost = self.plan(checks, info, &request)?;
        let preview = preview.map(|preview| self.with_decoder(preview, info, &request));
        let mut warnings = self.catalog.warnings(&info.name, &request);
        let resolved = resolved(&general, &request, &given, info, preview);
        warnings.extend(says_too_much(&resolved));
        Some(Order::new(Work::new(&info.name, request, preview), cost, resolved, warnings).laid_into(overlay.flatten()))
    }

    /// Names the decoder that `auto` stands for.
    fn with_decoder(&self, mut preview: ResolvedPreview, info: &ModelInfo, request: &Request) -> ResolvedPreview {
        if preview.decoder == PreviewDecoder::Auto {
            preview.decoder = self.catalog.auto_preview(&info.name, request);
        }
        preview
    }

    fn guidance(&self, checks: &mut Checks, general: &General, info: &ModelInfo) -> f64 {
        if info.guidable {
            return general.guidance_scale.unwrap_or_else(|| self.default_guidance_scale(info));
        }
        let why = format!("{} cannot be guided", info.name);
        checks.refuse("guidance_scale", general.guidance_scale.filter(|scale| *scale != 1.0).as_ref(), &why);
        checks.refuse("guidance_rescale", Some(general.guidance_rescale).filter(|r| *r != 0.0).as_ref(), &why);
        1.0
    }

    fn check_cost(
        &self,
        checks: &mut Checks,
        general: &General,
        (steps, width, height): (u32, u32, u32),
        highres: Option<Highres>,
    ) {
        let pixel_steps = |steps: u32, width: u32, height: u32| {
            u64::from(steps).saturating_mul(u64::from(width)).saturating_mul(u64::from(height))
        };
        let second = highres.map_or(0, |highres| pixel_steps(highres.steps, highres.width, highres.height));
        let each = pixel_steps(steps, width, height).saturating_add(second);
        let cost = u64::from(general.n).saturating_mul(each);
        let most = self.limits.pixel_steps;
        if cost > most {
            let message = format!(
                "{} images of {each} pixel steps are {cost}, more than the {most} that this server allows",
                general.n
            );
            checks.fail("steps", ErrorCode::CostTooHigh, message);
        }
    }

    /// What the model has to say. It is asked only about requests that are right in all other respects.
    fn plan(&self, checks: &mut Checks, info: &ModelInfo, request: &Request) -> Option<Cost> {
        if checks.any() {
            return None;
        }
        match self.catalog.plan(&info.name, request) {
            Ok(cost) => Some(cost),
            Err(RequestError { field, message }) => {
                checks.fail(field, code_of(field), message);
                None
            }
        }
    }
}

/// What to say where a file cannot carry how it was made.
/// Whether a request that names no model has something that only text-to-image models take.
fn is_of_text(request: &GenerationRequest) -> bool {
    let speaks = request.prompt.is_some() || request.negative_prompt.is_some() || request.prompt_syntax.is_some();
    let starts = request.init_image.is_some() || request.mask_image.is_some() || request.highres.is_some();
    speaks || starts && request.class_label.is_none()
}

fn says_too_much(request: &ResolvedRequest) -> Option<String> {
    let ResolvedOutput { format, metadata, .. } = request.output;
    let does_not_fit = |index| !fits_in_jpeg(&infotext(&request_of_image(request, index)));
    let too_much = format == ImageFormat::Jpeg && metadata == Some(true) && (0..request.n).any(does_not_fit);
    too_much.then(|| "the prompts are too long for JPEG files to say how they were made".to_owned())
}

/// What is wrong with a field that a model refuses.
fn code_of(field: &str) -> ErrorCode {
    match field {
        "width" | "height" => ErrorCode::InvalidSize,
        "steps" | "eta" | "strength" | "clip_skip" | "class_label" => ErrorCode::OutOfRange,
        "prompt" | "negative_prompt" => ErrorCode::InvalidPrompt,
        "guidance_scale" | "guidance_rescale" => ErrorCode::ConflictingParameters,
        "init_image" | "mask_image" => ErrorCode::MissingParameter,
        "highres" => ErrorCode::OutOfRange,
        _ => ErrorCode::UnsupportedValue,
    }
}

/// What the record says of the pictures that came with a request.
#[derive(Clone, Copy, Debug, Default)]
struct Given {
    init_image: Option<InputImage>,
    init_resize: Option<InitResize>,
    mask_image: Option<InputImage>,
    inpaint: Option<ResolvedInpaint>,
}

impl Given {
    fn new(start: &start::Start) -> Self {
        Self {
            init_image: Some(start.picture()),
            init_resize: start.resize(),
            mask_image: start.mask(),
            inpaint: start.inpaint,
        }
    }
}

fn resolved(
    general: &General,
    request: &Request,
    given: &Given,
    info: &ModelInfo,
    preview: Option<ResolvedPreview>,
) -> ResolvedRequest {
    let (prompts, class) = match &request.conditioning {
        Conditioning::None => (None, None),
        Conditioning::Class(class) => (None, info.classes.get(*class as usize).cloned()),
        Conditioning::Text { prompt, negative_prompt } => (Some((prompt, negative_prompt)), None),
    };
    let init = request.init.as_ref();
    let sampler = &request.sampler;
    ResolvedRequest {
        model: info.name.clone(),
        prompt: prompts.map(|(prompt, _)| prompt.text().to_owned()),
        negative_prompt: prompts.map(|(_, negative)| negative.text().to_owned()),
        prompt_syntax: prompts.and_then(|(prompt, _)| condition::prompt_syntax_name(prompt.syntax())),
        class_label: class,
        n: general.n,
        seed: general.seed,
        width: request.width,
        height: request.height,
        steps: request.steps,
        guidance_scale: request.guidance_scale,
        guidance_rescale: request.guidance_rescale,
        sampler: sampler.kind.name().to_owned(),
        noise_schedule: noise_schedule_name(sampler.noise_schedule),
        timestep_spacing: sampler.timestep_spacing.map(timestep_spacing_name),
        eta: sampler.kind.has_eta().then(|| sampler.eta.unwrap_or(0.0)),
        noise_source: sampling::noise_source_name(request.noise_source),
        clip_skip: request.clip_skip,
        variation: request
            .variation
            .map(|variation| ResolvedVariation { seed: Seed(variation.seed), strength: variation.strength }),
        highres: request.highres.map(|highres| ResolvedHighres {
            width: highres.width,
            height: highres.height,
            steps: highres.steps,
            strength: highres.strength,
            upscaler: highres::upscaler_name(highres.upscaler),
        }),
        init_image: given.init_image,
        init_resize: given.init_resize,
        mask_image: given.mask_image,
        inpaint: given.inpaint,
        strength: init.map(|init| init.strength),
        preview,
        output: general.output,
        priority: general.priority,
        deadline_seconds: general.deadline_seconds,
        on_disconnect: general.on_disconnect,
    }
}
