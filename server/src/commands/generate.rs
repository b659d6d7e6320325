//! `x0 generate`: pictures without a server, through the same checks and with the same bytes as over HTTP.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use uuid::Uuid;
use x0_engine::{Job, Tenant};
use x0_model::{Library, Model, Picture, Slot, StepError};
use x0_openapi::{
    ClassLabel, FieldError, GenerationRequest, ImageFormat, Named, NoiseSchedule, NoiseSource, OnDisconnect,
    PromptSyntax, Seed, TimestepSpacing,
};

use super::{CommandError, open_device_and_remark, print, remark};
use crate::config::DeviceArgs;
use crate::picture::{DecodeLimits, encode};
use crate::validate::{Answer, Limits, Order, Validator, Work};

/// Images that are made together: more of them take memory, and hardly less time.
const AT_ONCE: u32 = 8;
/// What may be asked for on one's own machine: what the models allow, but for what would ask for more memory than machines have.
const LIMITS: Limits = Limits {
    images: 10_000,
    side: 16_384,
    pixels: 4096 * 4096,
    steps: u32::MAX,
    pixel_steps: u64::MAX,
    guidance_scale: 1000.0,
    prompt_chars: 100_000,
    deadline_seconds: f64::MAX,
    decode: DecodeLimits { side: 16_384, pixels: 100_000_000, memory: 1 << 30 },
};

/// Makes pictures without a server.
#[derive(Clone, Debug, clap::Args)]
pub struct Generate {
    /// The model's name, as `x0 models` lists them [default: the first that takes what is given]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// What a class-conditional model shall show: the class's name or index
    #[arg(long, value_name = "NAME", visible_alias = "class-label")]
    class: Option<String>,
    /// What a text-to-image model shall show
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// What a text-to-image model shall stay away from
    #[arg(long, value_name = "TEXT")]
    negative_prompt: Option<String>,
    /// How the prompts are read: plain, or a1111 for (word:1.3), [word], BREAK and AND [default: plain]
    #[arg(long, value_name = "NAME", value_parser = word::<PromptSyntax>)]
    prompt_syntax: Option<PromptSyntax>,
    /// The file to write: .png, .jpg or .webp; of several images, each gets its number before the dot [default: MODEL-SEED.png]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How many images; image I uses the seed SEED + I
    #[arg(long, value_name = "COUNT", default_value_t = 1, allow_negative_numbers = true)]
    n: i64,
    /// The number that the noise is drawn from [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Denoising steps [default: the model's]
    #[arg(long, allow_negative_numbers = true)]
    steps: Option<i64>,
    /// Classifier-free guidance; 1 is without [default: the model's]
    #[arg(long, value_name = "SCALE", allow_negative_numbers = true)]
    guidance_scale: Option<f64>,
    /// How much of the guided prediction's contrast is taken back, 0 to 1 [default: 0]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    guidance_rescale: Option<f64>,
    /// The numerical method that removes the noise [default: the model's]
    #[arg(long, value_name = "NAME")]
    sampler: Option<String>,
    /// How the noise levels are spread over the steps [default: the sampler's]
    #[arg(long, value_name = "NAME", value_parser = word::<NoiseSchedule>)]
    noise_schedule: Option<NoiseSchedule>,
    /// How the timesteps are spread [default: the model's]
    #[arg(long, value_name = "NAME", value_parser = word::<TimestepSpacing>)]
    timestep_spacing: Option<TimestepSpacing>,
    /// How much noise DDIM adds at each step, 0 to 1 [default: 0]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    eta: Option<f64>,
    /// Whose random numbers the noise is made of: torch or philox [default: torch]
    #[arg(long, value_name = "NAME", value_parser = word::<NoiseSource>)]
    noise_source: Option<NoiseSource>,
    /// How many of the text encoder's last layers to leave out [default: 0]
    #[arg(long, value_name = "LAYERS", allow_negative_numbers = true)]
    clip_skip: Option<i64>,
    /// In pixels [default: the model's]
    #[arg(long, value_name = "PIXELS", allow_negative_numbers = true)]
    width: Option<i64>,
    /// In pixels [default: the model's]
    #[arg(long, value_name = "PIXELS", allow_negative_numbers = true)]
    height: Option<i64>,
    /// A PNG, JPEG or WebP file to start from
    #[arg(long, value_name = "FILE")]
    init_image: Option<PathBuf>,
    /// Where the picture is made anew: white where it may change, black where it stays
    #[arg(long, value_name = "FILE")]
    mask_image: Option<PathBuf>,
    /// Which share of the steps is done when starting from a picture, over 0 to 1 [default: 0.8]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    strength: Option<f64>,
    /// A folder of models, besides those that are part of the program
    #[arg(long, value_name = "DIR", env = "X0_MODELS")]
    models: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Generate {
    /// Makes the pictures and writes the files.
    ///
    /// # Errors
    /// [`CommandError::Usage`] for what the server would refuse, before anything is computed.
    pub fn run(&self) -> Result<(), CommandError> {
        let format = self.format()?;
        let device = open_device_and_remark(self.device)?;
        let library = super::models::open(&device, self.models.as_deref())?;
        let order = self.order(Arc::clone(&library), format)?;
        let record = order.record(Uuid::nil(), jiff::Timestamp::UNIX_EPOCH);
        for warning in &record.warnings {
            remark(warning);
        }
        let files = self.files(
            &record.model,
            record.request.seed,
            order.job(Uuid::nil(), Tenant(0), Instant::now()).images.get(),
        );
        can_be_written(&files)?;
        make(&library, &order, &files)
    }

    /// What is asked for, if it can be done.
    fn order(&self, library: Arc<Library>, format: ImageFormat) -> Result<Order, CommandError> {
        if let Some(name) = self.model.as_ref().filter(|name| library.info(name).is_none()) {
            let known: Vec<_> = library.infos().map(|info| info.name.as_str()).collect();
            let message = format!("--model: there is no model {name:?}; there are {}", known.join(", "));
            return Err(CommandError::Usage(message));
        }
        let validator = Validator::new(library, Vec::new(), LIMITS);
        let answer = Answer { one_image: false, format, on_disconnect: OnDisconnect::Keep };
        validator.order(&self.request()?, &answer).map_err(|errors| CommandError::Usage(told(&errors)))
    }

    /// The request that gives the same pictures over HTTP.
    fn request(&self) -> Result<GenerationRequest, CommandError> {
        let class = |class: &String| class.parse().map_or_else(|_| ClassLabel::Name(class.clone()), ClassLabel::Index);
        Ok(GenerationRequest {
            model: self.model.clone(),
            prompt: self.prompt.clone(),
            negative_prompt: self.negative_prompt.clone(),
            prompt_syntax: self.prompt_syntax,
            class_label: self.class.as_ref().map(class),
            n: Some(self.n),
            seed: self.seed.map(Seed),
            width: self.width,
            height: self.height,
            steps: self.steps,
            guidance_scale: self.guidance_scale,
            guidance_rescale: self.guidance_rescale,
            sampler: self.sampler.clone(),
            noise_schedule: self.noise_schedule,
            timestep_spacing: self.timestep_spacing,
            eta: self.eta,
            noise_source: self.noise_source,
            clip_skip: self.clip_skip,
            init_image: self.init_image.as_deref().map(read).transpose()?,
            mask_image: self.mask_image.as_deref().map(read).transpose()?,
            strength: self.strength,
            ..GenerationRequest::default()
        })
    }

    /// The format that the file's name asks for.
    fn format(&self) -> Result<ImageFormat, CommandError> {
        let Some(out) = &self.out else { return Ok(ImageFormat::Png) };
        let extension = out.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("png") => Ok(ImageFormat::Png),
            Some("jpg" | "jpeg") => Ok(ImageFormat::Jpeg),
            Some("webp") => Ok(ImageFormat::Webp),
            _ => Err(CommandError::Usage(format!("--out: {} must end in .png, .jpg or .webp", out.display()))),
        }
    }

    fn files(&self, model: &str, seed: Seed, images: u32) -> Vec<PathBuf> {
        let out = self.out.clone().unwrap_or_else(|| format!("{model}-{seed}.png").into());
        if images == 1 {
            return vec![out];
        }
        let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let (stem, extension) = (part(out.file_stem()), part(out.extension()));
        (0..images).map(|index| out.with_file_name(format!("{stem}-{index}.{extension}"))).collect()
    }
}

/// Finds out, before anything is computed, whether the files' folder is there. All files are in the same one.
fn can_be_written(files: &[PathBuf]) -> Result<(), CommandError> {
    let folder = files.first().and_then(|file| file.parent()).filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let wrong = |path: &Path, why: &str| CommandError::Usage(format!("--out: {} {why}", path.display()));
    match fs::metadata(folder) {
        Err(error) => return Err(wrong(folder, &format!("cannot be written to: {error}"))),
        Ok(found) if !found.is_dir() => return Err(wrong(folder, "is no folder")),
        Ok(_) => {}
    }
    match files.iter().find(|file| file.is_dir()) {
        Some(file) => Err(wrong(file, "is a folder")),
        None => Ok(()),
    }
}

/// Makes all images of an order, some of them together, shows how far they are, and writes each to its file.
fn make(library: &Library, order: &Order, files: &[PathBuf]) -> Result<(), CommandError> {
    let Job { images, steps, work, .. } = order.job(Uuid::nil(), Tenant(0), Instant::now());
    let images = images.get();
    let model = library.load(&work.model).map_err(CommandError::of_load)?;
    let all_steps = u64::from(steps.get()) * u64::from(images.div_ceil(AT_ONCE));
    let bar = ProgressBar::new(all_steps).with_style(style()).with_finish(ProgressFinish::AndClear);
    let mut files = (0..).zip(files);
    for first in (0..images).step_by(AT_ONCE as usize) {
        let group = first..images.min(first + AT_ONCE);
        let pictures = denoise(&model, &work, group, &bar).map_err(CommandError::of_step)?;
        for (picture, (index, file)) in pictures.into_iter().zip(&mut files) {
            let bytes = encode(&order.finishing()(picture), &order.encoding(index)).map_err(CommandError::failed)?;
            fs::write(file, bytes).map_err(|error| CommandError::Failed(format!("{}: {error}", file.display())))?;
            bar.suspend(|| print(format_args!("{}  seed {}", file.display(), order.seed(index))))?;
        }
    }
    Ok(())
}

fn denoise(model: &Model, work: &Work, images: Range<u32>, bar: &ProgressBar) -> Result<Vec<Picture>, StepError> {
    let mut slots = images.map(|image| model.begin(&work.request, image)).collect::<Result<Vec<_>, _>>()?;
    while slots.iter().any(|slot| !slot.is_done()) {
        let sigma = step(model, &mut slots.iter_mut().collect::<Vec<&mut Slot>>())?;
        bar.set_message(format!("σ {sigma:.2}"));
        bar.inc(1);
    }
    slots.into_iter().map(|slot| model.decode(slot)).collect()
}

/// Makes the next step of all slots, with half as many at once where the device has no memory for them. Gives the last one's sigma.
fn step(model: &Model, slots: &mut [&mut Slot]) -> Result<f32, StepError> {
    let at_once = slots.len().div_ceil(2);
    let (mut left, mut sigma) = (Vec::new(), 0.0);
    let alone = slots.len() == 1;
    let reports = model.step(slots);
    for (slot, report) in slots.iter_mut().zip(reports) {
        match report {
            Ok(report) => sigma = report.sigma,
            Err(StepError::OutOfMemory) if !alone => left.push(&mut **slot),
            Err(error) => return Err(error),
        }
    }
    for part in left.chunks_mut(at_once) {
        sigma = step(model, part)?;
    }
    Ok(sigma)
}

/// Nothing is drawn where standard error is no terminal.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} step {pos} of {len}, {msg}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Reads one word of a closed set.
fn word<T: Named>(text: &str) -> Result<T, String> {
    let words = || T::ALL.iter().map(|value| value.name()).collect::<Vec<_>>().join(", ");
    T::from_name(text).ok_or_else(|| format!("must be one of {}", words()))
}

/// A file as the server takes it: in base64.
fn read(path: &Path) -> Result<String, CommandError> {
    let file = fs::read(path).map_err(|error| CommandError::Usage(format!("{}: {error}", path.display())))?;
    Ok(BASE64.encode(file))
}

/// What is wrong, in one line, with the fields named as the flags are. There is no server that allows or has anything.
fn told(errors: &[FieldError]) -> String {
    let flag = |field: &str| match field {
        "class_label" => "--class".to_owned(),
        field => format!("--{}", field.replace('_', "-")),
    };
    let each =
        errors.iter().map(|error| format!("{}: {}", flag(&error.field), error.message.replace("this server", "x0")));
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        generate: Generate,
    }

    fn parse(line: &str) -> Generate {
        Line::parse_from(["x0"].into_iter().chain(line.split_whitespace())).generate
    }

    #[test]
    fn flags_become_the_request_of_the_same_name() {
        let request =
            parse("--class sneaker --seed 18446744073709551615 --steps -3 --guidance-scale 2.5").request().unwrap();
        assert_eq!(request.class_label, Some(ClassLabel::Name("sneaker".to_owned())));
        assert_eq!(request.seed, Some(Seed(u64::MAX)));
        assert_eq!((request.steps, request.guidance_scale), (Some(-3), Some(2.5)));
        assert_eq!(parse("--class 7").request().unwrap().class_label, Some(ClassLabel::Index(7)));
    }

    #[test]
    fn the_name_of_the_file_says_the_format() {
        for (line, format) in [
            ("", Ok(ImageFormat::Png)),
            ("--out a.PNG", Ok(ImageFormat::Png)),
            ("-o a/b.jpeg", Ok(ImageFormat::Jpeg)),
            ("-o a.webp", Ok(ImageFormat::Webp)),
            ("-o a.gif", Err(())),
            ("-o a", Err(())),
        ] {
            assert_eq!(parse(line).format().map_err(|_| ()), format, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "").unwrap();
        fs::create_dir(path("folder.png")).unwrap();
        for (name, word) in [
            ("a.png", None),
            ("nowhere/a.png", Some("nowhere cannot be written to: ")),
            ("file/a.png", Some("file is no folder")),
            ("folder.png", Some("folder.png is a folder")),
        ] {
            match (can_be_written(&[path(name)]), word) {
                (Ok(()), None) => {}
                (Err(CommandError::Usage(told)), Some(word)) => assert!(told.contains(word), "{name}: {told}"),
                (other, _) => panic!("{name}: {other:?}"),
            }
        }
        assert_eq!(can_be_written(&[PathBuf::from("a.png")]), Ok(()));
    }

    #[test]
    fn several_images_get_a_number_each() {
        let files = |line: &str, images| parse(line).files("fashion", Seed(7), images);
        assert_eq!(files("", 1), [Path::new("fashion-7.png")]);
        assert_eq!(files("-o d/a.b.png", 2), [Path::new("d/a.b-0.png"), Path::new("d/a.b-1.png")]);
    }
}
