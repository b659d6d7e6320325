//! What the configurations of a Stable Diffusion model say, and which requests it can serve.

use super::chunks::{MAX_CHUNKS, TokenizedText};
use super::components::{Components, Kind, Networks};
use super::conditions::{ConditionSpec, NegativePrompt};
use super::cost::{Budget, Needs};
use super::enlarge::SecondPass;
use super::latents::Codec;
use super::maps::LatentShape;
use super::preview::best;
use super::source::Source;
use super::start::{Mask, MaskedPicture, StartFrom, picture_in_size};
use crate::error::LoadError;
use crate::folder::Folder;
use crate::info::{ModelInfo, ModelKind, SizeRule};
use crate::library::Index;
use crate::library::defaults::defaults;
use crate::library::description::Description;
use crate::model::PreviewDecoder;
use crate::placement::Placement;
use crate::prompt::{MAX_WEIGHT, Prompt, PromptSyntax};
use crate::request::{self, Conditioning, Cost, Highres, InitImage, Request, RequestError};
use crate::sampler::Sampler;
use crate::stage::{Network, Stage};

const DEFAULT_STEPS: u32 = 30;
const DEFAULT_GUIDANCE: f64 = 7.5;
const DEFAULT_GUIDANCE_XL: f64 = 5.0;
/// In latents, where a network's file does not say it: Stable Diffusion's own.
const DEFAULT_SAMPLE_SIZE: usize = 64;
/// Sizes of pictures are multiples of it, whatever the autoencoder, as diffusers' pipelines have it.
const SIZE_MULTIPLE: usize = 8;
/// Largest width and height in pixels.
const MAX_SIZE: u32 = 1 << 14;

/// A Stable Diffusion model without its weights.
#[derive(Debug)]
pub(crate) struct StableDiffusionBlueprint {
    info: ModelInfo,
    source: Source,
    components: Components,
    budget: Budget,
}

/// A request that the model can serve.
pub(super) struct Parsed {
    pub(super) mode: Mode,
    pub(super) sampler: Sampler,
    pub(super) condition: ConditionSpec,
    pub(super) codec: Codec,
    pub(super) second_pass: Option<SecondPass>,
}

/// Which of diffusers' pipelines a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    TextToImage,
    ImageToImage,
    Inpaint {
        /// Whether the network has inputs for the mask and the rest of the picture.
        seen: bool,
    },
}

impl StableDiffusionBlueprint {
    /// Reads a model's configurations and the headers of its weights. A folder has an `index`.
    ///
    /// # Errors
    /// If they ask for something that is not supported, or do not fit each other.
    pub(crate) fn read(
        name: &str,
        source: Source,
        index: Option<&Index>,
        description: Description,
        memory_limit: Option<u64>,
    ) -> Result<Self, LoadError> {
        let folder = &source.folder();
        let (components, weights) = source.read(index, &description)?;
        let refuse = |message| LoadError::Config { path: folder.path_of(""), message };
        components.check().map_err(refuse)?;
        let budget = Budget { limit: memory_limit, weights: weights.loaded_bytes() };
        let guidance_scale = match components.kind {
            Kind::StableDiffusion => DEFAULT_GUIDANCE,
            Kind::StableDiffusionXl { .. } => DEFAULT_GUIDANCE_XL,
        };
        let defaults = defaults(folder, &components.scheduler, &description, (DEFAULT_STEPS, guidance_scale))?;
        let scale = components.vae.scale();
        let default_size = components
            .unet
            .sample_size
            .map_or((DEFAULT_SAMPLE_SIZE, DEFAULT_SAMPLE_SIZE), |size| (size.width, size.height));
        let info = ModelInfo {
            name: name.to_owned(),
            kind: ModelKind::TextToImage,
            classes: Vec::new(),
            guidable: true,
            image_to_image: true,
            size: SizeRule {
                default_width: (default_size.0 * scale) as u32,
                default_height: (default_size.1 * scale) as u32,
                multiple: SIZE_MULTIPLE.max(scale) as u32,
                fixed: false,
            },
            defaults,
            examples: description.examples,
            description: description.description,
            license: description.license,
            attribution: description.attribution,
            embedded: matches!(folder, Folder::Embedded { .. }),
        };
        Ok(Self { info, source, components, budget })
    }

    pub(crate) fn info(&self) -> &ModelInfo {
        &self.info
    }

    pub(super) fn components(&self) -> &Components {
        &self.components
    }

    pub(super) fn kind(&self) -> Kind {
        self.components.kind
    }

    /// Reads the networks.
    pub(super) fn load(&self, placement: &Placement) -> Result<Networks, LoadError> {
        let networks = self.components.load(&self.source.weights(&self.components)?.placed(placement)?)?;
        let needs_projection = matches!(self.components.kind, Kind::StableDiffusionXl { .. });
        if needs_projection && !networks.text_encoders.last().is_some_and(|encoder| encoder.has_projection()) {
            let message = "the second text encoder has no text_projection".into();
            return Err(LoadError::Format { path: self.source.folder().path_of(""), message });
        }
        Ok(networks)
    }

    /// Which networks there are to call one by one.
    pub(crate) fn stages(&self) -> Vec<Stage> {
        self.components.stages()
    }

    /// Reads one network alone, if the model has it.
    pub(crate) fn network(&self, stage: Stage, placement: &Placement) -> Result<Option<Network>, LoadError> {
        let size = (self.info.size.default_width as usize, self.info.size.default_height as usize);
        self.components.network(&self.source.weights(&self.components)?.placed(placement)?, stage, size)
    }

    /// Checks a request and says what it costs.
    pub(crate) fn plan(&self, request: &Request) -> Result<Cost, RequestError> {
        let Parsed { sampler, condition, codec, second_pass, .. } = self.parse(request)?;
        Ok(Cost {
            calls: sampler.calls() as u32,
            rows: condition.rows() as u32,
            tensor_height: codec.shape.height as u32,
            tensor_width: codec.shape.width as u32,
            context: (condition.chunks() * self.chunk_length()) as u32,
            second_pass: second_pass.map(|second| request::SecondPass {
                calls: second.sampler.calls() as u32,
                tensor_height: second.codec.shape.height as u32,
                tensor_width: second.codec.shape.width as u32,
            }),
        })
    }

    /// The decoders that previews can be made by.
    pub(crate) fn preview_decoders(&self) -> &'static [PreviewDecoder] {
        match self.components.tiny {
            Some(_) => &[PreviewDecoder::Linear, PreviewDecoder::Tiny, PreviewDecoder::Full],
            None => &[PreviewDecoder::Linear, PreviewDecoder::Full],
        }
    }

    /// The decoder that [`PreviewDecoder::Auto`] stands for.
    pub(crate) fn auto_preview(&self, request: &Request) -> PreviewDecoder {
        best(&self.components, self.latent_shape(largest(request)))
    }

    /// What a user should know about how a request is served.
    pub(crate) fn warnings(&self, request: &Request) -> Vec<String> {
        let Conditioning::Text { prompt, negative_prompt } = &request.conditioning else { return Vec::new() };
        let texts = [("prompt", prompt), ("negative_prompt", negative_prompt)];
        let seen = if self.is_guided(request, prompt) { &texts[..] } else { &texts[..1] };
        seen.iter().flat_map(|(name, prompt)| self.warnings_of(name, prompt)).collect()
    }

    fn warnings_of(&self, name: &str, prompt: &Prompt) -> Vec<String> {
        let texts = TokenizedText::all(prompt, &self.components.text_encoders).unwrap_or_default();
        let removed: usize = texts.iter().map(|text| text.removed).sum();
        let length = self.chunk_length();
        let taken = match prompt.syntax() {
            PromptSyntax::Plain => format!("the model takes {length}"),
            PromptSyntax::A1111 => format!("{MAX_CHUNKS} chunks of {length} are taken"),
        };
        let cut = (removed > 0).then(|| format!("{name}: the last {removed} tokens were cut off, since {taken}"));
        let bounded = prompt
            .reaches_max_weight()
            .then(|| format!("{name}: weights beyond {MAX_WEIGHT} or -{MAX_WEIGHT} were taken as these"));
        cut.into_iter().chain(bounded).collect()
    }

    /// Parses a request that this model can serve.
    pub(super) fn parse(&self, request: &Request) -> Result<Parsed, RequestError> {
        self.check_options(request)?;
        let mode = self.mode(request.init.as_ref())?;
        let condition = self.condition(request)?;
        let (scheduler, steps) = (&self.components.scheduler, request.steps as usize);
        let sampler = match &request.init {
            None => Sampler::new(scheduler, &request.sampler, steps)?,
            Some(init) => Sampler::image_to_image(scheduler, &request.sampler, steps, init.strength)?,
        };
        if sampler.needs_variance() && self.components.unet.out_channels == self.components.vae.latent_channels() {
            return refuse("sampler", "this sampler takes its variance from the model, which predicts none".into());
        }
        let rows = (condition.rows() as u64, (condition.chunks() * self.chunk_length()) as u64);
        let codec = self.codec((request.width, request.height), rows)?;
        let second_pass = match request.highres {
            Some(_) if mode != Mode::TextToImage => {
                return refuse("highres", "only what is made from noise can have a second pass".into());
            }
            Some(highres) => Some(self.second_pass(request, highres, rows)?),
            None => None,
        };
        Ok(Parsed { mode, sampler, condition, codec, second_pass })
    }

    /// How pictures of a size are coded, if there is the memory for so many rows of so many tokens each.
    fn codec(&self, size: (u32, u32), (rows, tokens): (u64, u64)) -> Result<Codec, RequestError> {
        let shape = self.latent_shape(size);
        let needs = Needs::of(&self.components, shape, rows, tokens);
        let tiled = self.budget.must_tile(&needs);
        self.budget.admit(&needs, tiled)?;
        Ok(Codec { kind: self.components.kind, shape, tiled })
    }

    fn second_pass(&self, request: &Request, highres: Highres, rows: (u64, u64)) -> Result<SecondPass, RequestError> {
        let Highres { width, height, steps, strength, upscaler } = highres;
        let multiple = self.info.size.multiple;
        for (size, least) in [(width, request.width), (height, request.height)] {
            if size < least || size > MAX_SIZE || size % multiple != 0 {
                return refuse(
                    "highres",
                    format!("its sizes must be multiples of {multiple}, from {least} to {MAX_SIZE}"),
                );
            }
        }
        let of_sampler = |error| RequestError { field: "highres", ..RequestError::from(error) };
        let all_steps = schedule_length(steps, strength);
        let sampler = Sampler::image_to_image(&self.components.scheduler, &request.sampler, all_steps, strength);
        Ok(SecondPass {
            codec: self.codec((width, height), rows).map_err(|error| RequestError { field: "highres", ..error })?,
            sampler: sampler.map_err(of_sampler)?,
            upscaler,
        })
    }

    fn latent_shape(&self, (width, height): (u32, u32)) -> LatentShape {
        let vae = &self.components.vae;
        let scale = vae.scale();
        LatentShape { channels: vae.latent_channels(), height: height as usize / scale, width: width as usize / scale }
    }

    fn check_options(&self, request: &Request) -> Result<(), RequestError> {
        let multiple = self.info.size.multiple;
        for (field, size) in [("width", request.width), ("height", request.height)] {
            if size == 0 || size > MAX_SIZE || size % multiple != 0 {
                return refuse(field, format!("must be a multiple of {multiple} and at most {MAX_SIZE}"));
            }
        }
        if !request.guidance_scale.is_finite() {
            return refuse("guidance_scale", "must be finite".into());
        }
        if !(0.0..=1.0).contains(&request.guidance_rescale) {
            return refuse("guidance_rescale", "must be between 0 and 1".into());
        }
        if let Some(InitImage { picture, mask, .. }) = &request.init {
            for (field, picture) in [("init_image", Some(picture)), ("mask_image", mask.as_ref())] {
                if picture.is_some_and(|picture| !picture.is_whole()) {
                    return refuse(field, "has no pixels, or not as many as its size says".into());
                }
            }
        }
        let layers = self.components.text_encoders.iter().map(|encoder| encoder.clip.num_hidden_layers);
        let fewest = layers.min().unwrap_or(0);
        let most = match self.components.kind {
            Kind::StableDiffusion => fewest,
            // They leave out one layer already.
            Kind::StableDiffusionXl { .. } => fewest - 1,
        };
        if request.clip_skip.is_some_and(|skip| skip as usize > most) {
            return refuse("clip_skip", format!("must be at most {most}"));
        }
        Ok(())
    }

    fn mode(&self, init: Option<&InitImage>) -> Result<Mode, RequestError> {
        let seen = self.components.unet.in_channels != self.components.vae.latent_channels();
        let refiner = matches!(self.components.kind, Kind::StableDiffusionXl { requires_aesthetics_score: true, .. });
        let name = &self.info.name;
        match init {
            Some(InitImage { mask: Some(_), .. }) => Ok(Mode::Inpaint { seen }),
            _ if seen => refuse("mask_image", format!("{name} fills masked parts of pictures: it needs a mask")),
            Some(InitImage { mask: None, .. }) => Ok(Mode::ImageToImage),
            None if refiner => refuse("init_image", format!("{name} refines pictures: it needs one")),
            None => Ok(Mode::TextToImage),
        }
    }

    /// Tokens that the text encoders take at once.
    fn chunk_length(&self) -> usize {
        self.components.text_encoders[0].tokenizer.length()
    }

    /// Networks that take the guidance scale as an input need no second row. Composed prompts need one always.
    fn is_guided(&self, request: &Request, prompt: &Prompt) -> bool {
        (request.guidance_scale > 1.0 || prompt.is_composed()) && self.components.unet.time_cond_proj_dim().is_none()
    }

    fn condition(&self, request: &Request) -> Result<ConditionSpec, RequestError> {
        let (prompt, negative_prompt) = match &request.conditioning {
            Conditioning::Text { prompt, negative_prompt } => (prompt, negative_prompt),
            Conditioning::Class(_) => return refuse("class_label", format!("{} has no classes", self.info.name)),
            Conditioning::None => return refuse("prompt", format!("{} needs a prompt", self.info.name)),
        };
        let guided = self.is_guided(request, prompt);
        if prompt.is_composed() && !guided {
            let name = &self.info.name;
            return refuse("prompt", format!("{name} takes the guidance scale as an input: it cannot compose prompts"));
        }
        let encoders = &self.components.text_encoders;
        let tokenized = |field, prompt: &Prompt| {
            TokenizedText::all(prompt, encoders).map_err(|error| RequestError { field, message: error.to_string() })
        };
        let mut texts = tokenized("prompt", prompt)?;
        let negative = if guided { tokenized("negative_prompt", negative_prompt)?.pop() } else { None };
        texts.extend(negative);
        let longest = texts.iter().map(|text| text.chunks.len()).max().unwrap_or(0);
        texts.iter_mut().for_each(|text| text.pad(longest, encoders));

        let clip_skip = request.clip_skip.unwrap_or(0) as usize;
        let negative = if guided { texts.pop() } else { None };
        let negative_prompt = negative.map(|text| NegativePrompt {
            prompt: text,
            is_empty: negative_prompt.text().is_empty(),
            // diffusers skips no layers for it, AUTOMATIC1111 does.
            clip_skip: match prompt.syntax() {
                PromptSyntax::Plain => 0,
                PromptSyntax::A1111 => clip_skip,
            },
        });
        Ok(ConditionSpec {
            prompt: texts,
            negative_prompt,
            clip_skip,
            width: request.width,
            height: request.height,
            guidance_scale: request.guidance_scale,
        })
    }

    /// Prepares the pictures of a request.
    pub(super) fn start_from(request: &Request, mode: Mode) -> candle_core::Result<StartFrom> {
        let size = (request.width, request.height);
        match (&request.init, mode) {
            (None, _) | (_, Mode::TextToImage) => Ok(StartFrom::Noise),
            (Some(init), Mode::ImageToImage) => Ok(StartFrom::Picture(picture_in_size(&init.picture, size)?)),
            (Some(init), Mode::Inpaint { seen }) => {
                let Some(mask) = &init.mask else { candle_core::bail!("inpainting needs a mask") };
                Ok(StartFrom::Masked(MaskedPicture {
                    picture: picture_in_size(&init.picture, size)?,
                    mask: Mask::new(mask, size),
                    seen,
                    full_strength: init.strength == 1.0,
                    fill: init.fill,
                }))
            }
        }
    }
}

/// The size of the finished picture.
fn largest(request: &Request) -> (u32, u32) {
    request.highres.map_or((request.width, request.height), |highres| (highres.width, highres.height))
}

/// Of how many steps `steps` are the share `strength`.
fn schedule_length(steps: u32, strength: f64) -> usize {
    let least = (f64::from(steps) / strength).ceil() as usize;
    // The product may be rounded to just below a whole number of steps.
    if (least as f64 * strength) as u32 >= steps { least } else { least + 1 }
}

fn refuse<T>(field: &'static str, message: String) -> Result<T, RequestError> {
    Err(RequestError { field, message })
}
