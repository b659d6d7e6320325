//! What the configurations of a pixel-space model say.

use super::Shape;
use super::slot::Rows;
use crate::error::LoadError;
use crate::folder::Folder;
use crate::guidance::Guidance;
use crate::info::{ModelInfo, ModelKind, SizeRule};
use crate::library::defaults::{defaults, read_scheduler};
use crate::library::description::Description;
use crate::picture::Channels;
use crate::placement::Placement;
use crate::request::{Conditioning, Cost, Request, RequestError};
use crate::sampler::Sampler;
use crate::schedule::SchedulerConfig;
use crate::stage::{Network, NetworkKind, Stage, Usual};
use crate::unet_2d::{ClassEmbedType, UNet2DConfig, UNet2DModel};

const DEFAULT_STEPS: u32 = 25;
pub(super) const WEIGHTS: &str = "diffusion_pytorch_model";

/// A pixel-space model without its weights.
#[derive(Debug)]
pub(crate) struct PixelBlueprint {
    info: ModelInfo,
    folder: Folder,
    pub(super) unet: UNet2DConfig,
    pub(super) scheduler: SchedulerConfig,
    /// Of the tensor that is denoised.
    pub(super) shape: Shape,
    pub(super) channels: Channels,
    /// Pixels that are cut off each side of a picture.
    pub(super) crop: usize,
    null_class: Option<u32>,
}

impl PixelBlueprint {
    /// Reads `unet/config.json` and `scheduler/scheduler_config.json`.
    ///
    /// # Errors
    /// If they or the description ask for something that is not supported, or do not fit each other.
    pub(crate) fn read(
        name: &str,
        folder: &Folder,
        description: Description,
        embedded: bool,
    ) -> Result<Self, LoadError> {
        let unet = UNet2DConfig::read(&folder.at("unet"))?;
        let refuse = |message: String| LoadError::Config { path: folder.at("unet").path_of("config.json"), message };
        let Some(size) = unet.sample_size else { return Err(refuse("`sample_size` is missing".into())) };
        let channels = match unet.in_channels {
            1 => Channels::Gray,
            3 => Channels::Rgb,
            n => return Err(refuse(format!("`in_channels` = {n} is neither a gray nor an RGB picture"))),
        };
        if ![unet.in_channels, 2 * unet.in_channels].contains(&unet.out_channels) {
            return Err(refuse(format!(
                "`out_channels` = {} is neither once nor twice `in_channels`",
                unet.out_channels
            )));
        }
        let (classes, null_class) =
            classes(&unet, &description).map_err(|message| Description::error(folder, message))?;
        let crop = description.crop as usize;
        if 2 * crop >= size.height.min(size.width) {
            return Err(Description::error(folder, format!("`crop` = {crop} leaves nothing of the picture")));
        }
        let scheduler = read_scheduler(&folder.at("scheduler"))?;
        let defaults = defaults(folder, &scheduler, &description, (DEFAULT_STEPS, 1.0))?;
        let info = ModelInfo {
            name: name.to_owned(),
            kind: if unet.takes_class() { ModelKind::ClassConditional } else { ModelKind::Unconditional },
            classes,
            guidable: null_class.is_some(),
            image_to_image: false,
            size: SizeRule {
                default_width: (size.width - 2 * crop) as u32,
                default_height: (size.height - 2 * crop) as u32,
                multiple: 1,
                fixed: true,
            },
            defaults,
            examples: description.examples,
            description: description.description,
            license: description.license,
            attribution: description.attribution,
            embedded,
        };
        let shape = Shape { channels: unet.in_channels, height: size.height, width: size.width };
        Ok(Self { info, folder: folder.clone(), unet, scheduler, shape, channels, crop, null_class })
    }

    pub(crate) fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The folder of the network's weights.
    pub(super) fn unet_folder(&self) -> Folder {
        self.folder.at("unet")
    }

    /// Reads the network alone.
    pub(crate) fn network(&self, placement: &Placement) -> Result<Network, LoadError> {
        let weights = self.unet_folder().weights(WEIGHTS)?.placed(placement);
        let network = NetworkKind::UNet2D(Box::new(UNet2DModel::new(&weights, &self.unet)?));
        let usual = Usual { size: (self.shape.width, self.shape.height), scale: 1, tokens: 0 };
        Ok(Network::new(Stage::Unet, network, usual))
    }

    /// Checks a request and says what it costs.
    pub(crate) fn plan(&self, request: &Request) -> Result<Cost, RequestError> {
        let (rows, sampler) = self.parse(request)?;
        Ok(Cost {
            calls: sampler.calls() as u32,
            rows: rows.count() as u32,
            tensor_height: self.shape.height as u32,
            tensor_width: self.shape.width as u32,
            context: 0,
            second_pass: None,
        })
    }

    /// The rows and the sampler of a request that this model can serve.
    pub(super) fn parse(&self, request: &Request) -> Result<(Rows, Sampler), RequestError> {
        let refuse = |field, message: &str| Err(RequestError { field, message: message.to_owned() });
        let SizeRule { default_width, default_height, .. } = self.info.size;
        for (field, given, only) in
            [("width", request.width, default_width), ("height", request.height, default_height)]
        {
            if given != only {
                return refuse(
                    field,
                    &format!("{} makes pictures of {default_width}×{default_height} only", self.info.name),
                );
            }
        }
        if request.init.is_some() {
            return refuse("init_image", "a pixel-space model does not start from a picture");
        }
        if request.highres.is_some() {
            return refuse("highres", "a pixel-space model makes pictures of one size");
        }
        if request.clip_skip.is_some() {
            return refuse("clip_skip", "a pixel-space model has no text encoder");
        }
        let rows = self.rows(request)?;
        let sampler = Sampler::new(&self.scheduler, &request.sampler, request.steps as usize)?;
        if sampler.needs_variance() && self.unet.out_channels == self.shape.channels {
            return refuse("sampler", "this sampler takes its variance from the model, which predicts none");
        }
        Ok((rows, sampler))
    }

    fn rows(&self, request: &Request) -> Result<Rows, RequestError> {
        let refuse = |field, message: String| Err(RequestError { field, message });
        if !request.guidance_scale.is_finite() {
            return refuse("guidance_scale", "must be finite".into());
        }
        if !(0.0..=1.0).contains(&request.guidance_rescale) {
            return refuse("guidance_rescale", "must be between 0 and 1".into());
        }
        let guidance = Guidance { scale: request.guidance_scale, rescale: request.guidance_rescale };
        let guided = guidance.needs_unconditional();
        match (&request.conditioning, self.info.kind) {
            (Conditioning::Text { .. }, _) => refuse("prompt", format!("{} takes no prompt", self.info.name)),
            (Conditioning::Class(_), ModelKind::Unconditional) => {
                refuse("class_label", format!("{} has no classes", self.info.name))
            }
            (Conditioning::None, ModelKind::Unconditional) if guided => {
                refuse("guidance_scale", "must be 1: an unconditional model cannot be guided".into())
            }
            (Conditioning::None, ModelKind::Unconditional) => Ok(Rows::Unconditional),
            (Conditioning::Class(class), _) => {
                let (class, classes) = (*class, self.info.classes.len());
                match (class as usize >= classes, guided, self.null_class) {
                    (true, ..) => refuse("class_label", format!("must be less than {classes}")),
                    (false, false, _) => Ok(Rows::Class(class)),
                    (false, true, Some(null_class)) => Ok(Rows::Guided { null_class, class }),
                    (false, true, None) => {
                        refuse("guidance_scale", "must be 1: the model has no label for \"no class\"".into())
                    }
                }
            }
            (Conditioning::None, _) => refuse("class_label", format!("{} needs a class", self.info.name)),
        }
    }
}

/// Names of the classes and the label for none of them.
fn classes(unet: &UNet2DConfig, description: &Description) -> Result<(Vec<String>, Option<u32>), String> {
    let labels = match unet.class_embed_type {
        _ if !unet.takes_class() => {
            return if description.classes.is_none() && description.null_class.is_none() {
                Ok((Vec::new(), None))
            } else {
                Err("the network takes no classes".into())
            };
        }
        ClassEmbedType::Identity => return Err("a network that takes embeddings for classes is not supported".into()),
        ClassEmbedType::Table => unet.num_class_embeds,
        // Any number can be embedded; the network does not say which ones mean something.
        ClassEmbedType::Timestep => unet
            .num_class_embeds
            .or(description.classes.as_ref().map(|names| names.len() + usize::from(description.null_class.is_some()))),
    };
    let Some(labels) = labels else { return Err("`classes` must name the classes: the network's files do not".into()) };
    let null_class = description.null_class;
    let classes = description.classes.clone().unwrap_or_else(|| {
        (0..null_class.map_or(labels, |label| label as usize)).map(|label| label.to_string()).collect()
    });
    if classes.len() > labels {
        return Err(format!("`classes` has {} names for the {labels} labels of the network", classes.len()));
    }
    if null_class.is_some_and(|label| !(classes.len()..labels).contains(&(label as usize))) {
        return Err(format!("`null_class` must be from {} to less than {labels}", classes.len()));
    }
    Ok((classes, null_class))
}
