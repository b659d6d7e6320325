//! The cases of a Stable Diffusion test model.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use x0_model::sampler::{NoiseSchedule, SamplerKind, SamplerSpec, TimestepSpacing};
use x0_model::{
    Channels, Conditioning, InitImage, Library, Model, Picture, Placement, Prompt, PromptSyntax, Request, Slot,
};

use super::{Goldens, data, flat, max_difference, row};

/// A test model's folder: `model/`, `cases.json`, `cases.safetensors`, pictures.
pub struct TestModel {
    folder: PathBuf,
    pub model: Arc<Model>,
    pub cases: Vec<Case>,
    goldens: Goldens,
}

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

/// A request, in the words of diffusers.
#[derive(Debug, Deserialize)]
pub struct Case {
    pub name: String,
    sampler: String,
    #[serde(default)]
    schedule: Option<String>,
    timestep_spacing: Option<TimestepSpacing>,
    prompt: String,
    negative_prompt: Option<String>,
    #[serde(default)]
    prompt_syntax: String,
    steps: u32,
    guidance_scale: f64,
    #[serde(default)]
    guidance_rescale: f64,
    eta: Option<f64>,
    clip_skip: Option<u32>,
    #[serde(default = "default_size")]
    width: u32,
    #[serde(default = "default_size")]
    height: u32,
    /// One image each.
    seeds: Vec<u64>,
    init_image: Option<String>,
    mask_image: Option<String>,
    strength: Option<f64>,
    /// The folder of the model, of cases that are not beside it.
    #[serde(default)]
    base: String,
    /// Values written over those of the model's files.
    #[serde(default)]
    patch: BTreeMap<String, serde_json::Map<String, Value>>,
    /// The folder of a unet to take instead of the model's.
    unet: Option<String>,
}

fn default_size() -> u32 {
    64
}

/// How far final latents (as a share of their standard deviation, if that is over 1) and pictures (in 0..=255) may be from diffusers'.
#[derive(Clone, Copy)]
pub struct Tolerance {
    pub latents: f32,
    pub picture: f32,
}

impl Tolerance {
    pub const STRICT: Self = Self { latents: 1e-3, picture: 2.0 };
}

impl TestModel {
    /// Opens a folder below `tests/data`.
    pub fn open(name: &str) -> Self {
        Self::open_at(&data(name))
    }

    pub fn open_at(folder: &Path) -> Self {
        Self::new(folder, read_cases(folder), load(folder, Placement::cpu()))
    }

    /// Opens a folder below `tests/data`, whose model computes elsewhere.
    pub fn open_on(name: &str, placement: &Placement) -> Self {
        let folder = data(name);
        Self::new(&folder, read_cases(&folder), load(&folder, placement.clone()))
    }

    fn new(folder: &Path, cases: Vec<Case>, model: Arc<Model>) -> Self {
        Self { folder: folder.to_owned(), model, cases, goldens: Goldens::open(&folder.join("cases.safetensors")) }
    }

    /// The cases in a folder that are for other folders' models, by the variant of a model that they are for.
    pub fn open_variants(folder: &str) -> Vec<Self> {
        let folder = data(folder);
        let mut variants: Vec<Vec<Case>> = Vec::new();
        for case in read_cases(&folder) {
            match variants.iter_mut().find(|cases| cases[0].is_for_the_model_of(&case)) {
                Some(cases) => cases.push(case),
                None => variants.push(vec![case]),
            }
        }
        let open = |cases: Vec<Case>| {
            let models = tempfile::tempdir().unwrap();
            cases[0].write_model(&folder, &models.path().join("model"));
            let model = load(models.path(), Placement::cpu());
            Self::new(&folder, cases, model)
        };
        variants.into_iter().map(open).collect()
    }

    pub fn case(&self, name: &str) -> &Case {
        self.cases.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case {name}"))
    }

    /// The request of a case; its images are asked for one by one.
    pub fn request(&self, case: &Case, image: usize) -> Request {
        let (kind, _) = SamplerKind::parse(&case.sampler).unwrap();
        let noise_schedule = match case.schedule.as_deref() {
            Some("karras") => NoiseSchedule::Karras,
            _ => NoiseSchedule::Default,
        };
        let syntax = match case.prompt_syntax.as_str() {
            "a1111" => PromptSyntax::A1111,
            _ => PromptSyntax::Plain,
        };
        let picture = |name: &String| Arc::new(read_png(&self.folder.join(name)));
        Request {
            conditioning: Conditioning::Text {
                prompt: Prompt::new(case.prompt.as_str(), syntax).unwrap(),
                negative_prompt: Prompt::negative(case.negative_prompt.as_deref().unwrap_or_default(), syntax).unwrap(),
            },
            seed: case.seeds[image],
            width: case.width,
            height: case.height,
            steps: case.steps,
            guidance_scale: case.guidance_scale,
            guidance_rescale: case.guidance_rescale,
            sampler: SamplerSpec {
                noise_schedule,
                timestep_spacing: case.timestep_spacing,
                eta: case.eta,
                ..kind.into()
            },
            noise_source: Default::default(),
            clip_skip: case.clip_skip,
            init: case.init_image.as_ref().map(|name| InitImage {
                picture: picture(name),
                mask: case.mask_image.as_ref().map(picture),
                fill: Default::default(),
                strength: case.strength.unwrap(),
            }),
            variation: None,
            highres: None,
        }
    }

    /// Makes the pictures of all cases and compares them.
    pub fn check_all(&self, count: usize, tolerance: Tolerance) {
        assert_eq!(self.cases.len(), count);
        let failed: Vec<String> = self.cases.iter().filter_map(|case| self.check(case, tolerance).err()).collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }

    /// Makes the pictures of a case and compares them.
    pub fn check(&self, case: &Case, tolerance: Tolerance) -> Result<(), String> {
        let (latents, pictures) = (self.goldens.get(&format!("{}.latents", case.name)), self.picture(case));
        for image in 0..case.seeds.len() {
            let mut slot = self.model.begin(&self.request(case, image), 0).unwrap();
            run(&self.model, &mut slot);
            let expected = flat(&row(&latents, image));
            let bound = tolerance.latents * standard_deviation(&expected).max(1.0);
            let off = max_difference(&slot.sample().unwrap(), &expected);
            let picture = self.model.decode(slot).unwrap();
            let bytes: Vec<f32> = picture.bytes.iter().map(|byte| f32::from(*byte)).collect();
            let picture_off = max_difference(&bytes, &flat(&row(&pictures, image)));
            if off > bound || picture_off > tolerance.picture {
                return Err(format!(
                    "{} {image}: latents off by {off} of {bound}, picture by {picture_off}",
                    case.name
                ));
            }
        }
        Ok(())
    }

    /// What diffusers made, in 0..=255, pixel after pixel. Kept as bytes, or as float16 in 0..=1 by the script that makes the cases.
    fn picture(&self, case: &Case) -> candle_core::Tensor {
        let map = self.goldens.map(&format!("{}.image", case.name));
        let largest = flat(&map).into_iter().fold(0f32, f32::max);
        if largest <= 1.0 { (map * 255.0).unwrap() } else { map }
    }
}

impl Case {
    fn is_for_the_model_of(&self, other: &Self) -> bool {
        (&self.base, &self.patch, &self.unet) == (&other.base, &other.patch, &other.unet)
    }

    /// Writes the case's variant of its model.
    fn write_model(&self, folder: &Path, to: &Path) {
        copy_folder(&data(&self.base).join("model"), to);
        for (file, values) in &self.patch {
            let mut json: serde_json::Map<String, Value> =
                serde_json::from_str(&fs::read_to_string(to.join(file)).unwrap()).unwrap();
            json.extend(values.clone());
            fs::write(to.join(file), Value::Object(json).to_string()).unwrap();
        }
        if let Some(unet) = &self.unet {
            fs::remove_dir_all(to.join("unet")).unwrap();
            copy_folder(&folder.join(unet), &to.join("unet"));
        }
    }
}

fn read_cases(folder: &Path) -> Vec<Case> {
    let cases: Cases = serde_json::from_str(&fs::read_to_string(folder.join("cases.json")).unwrap()).unwrap();
    cases.cases
}

/// Loads the model `model` of a folder.
fn load(models: &Path, placement: Placement) -> Arc<Model> {
    let library = Library::open(Some(models)).unwrap().placed(placement);
    // The folder may hold other files, which are no models.
    let problem = library.problems().iter().find(|(name, _)| name == "model");
    assert_eq!(problem, None);
    library.load("model").unwrap()
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// Makes all steps of one image alone.
pub fn run(model: &Model, slot: &mut Slot) {
    while !slot.is_done() {
        for report in model.step(&mut [slot]) {
            report.unwrap();
        }
    }
}

fn standard_deviation(values: &[f32]) -> f32 {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    (values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt()
}

pub fn read_png(path: &Path) -> Picture {
    let mut decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap()));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    bytes.truncate(info.buffer_size());
    let channels = if info.color_type == png::ColorType::Grayscale {
        Channels::Gray
    } else {
        assert_eq!(info.color_type, png::ColorType::Rgb, "{}", path.display());
        Channels::Rgb
    };
    Picture { width: info.width, height: info.height, channels, bytes }
}
