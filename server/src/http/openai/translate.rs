//! From OpenAI's request to ours.

use x0_openapi::{
    ErrorCode, FieldError, GenerationRequest, ImageFormat, Named as _, OpenAiBackground, OpenAiImageRequest,
    OpenAiQuality, OpenAiResponseFormat, OutputRequest, PreviewRequest,
};

use crate::http::making::Asked;
use crate::validate::Validator;

/// What may be shown at most of each picture before it is finished.
const MAX_PARTIAL_IMAGES: i64 = 3;

/// Which of the two routes it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Generation,
    Edit,
}

/// What a request says of its answer rather than of its pictures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) subject: Subject,
    pub(super) stream: bool,
    /// How many partial images a picture has at most; `None` for as many as its own `preview` gives.
    pub(super) partial_images: Option<u32>,
    pub(super) format: OpenAiResponseFormat,
    pub(super) quality: &'static str,
    /// Whether the size came as `size`, and the class as `prompt`.
    sized: bool,
    prompted: bool,
}

impl Manner {
    /// What a field of ours is called here.
    pub(super) fn name_of(&self, field: &str) -> String {
        match field {
            "width" | "height" if self.sized => "size",
            "class_label" if self.prompted => "prompt",
            "init_image" if self.subject == Subject::Edit => "image",
            "mask_image" if self.subject == Subject::Edit => "mask",
            "output.format" => "output_format",
            "output.quality" => "output_compression",
            field => field,
        }
        .to_owned()
    }
}

/// Translates a request that was read, and goes on collecting what is wrong with it.
pub(super) fn translate(
    validator: &Validator,
    subject: Subject,
    mut request: OpenAiImageRequest,
    errors: Vec<FieldError>,
) -> (Asked, Manner) {
    let native = std::mem::take(&mut request.native);
    let manner = Manner {
        subject,
        stream: request.stream.unwrap_or(false),
        partial_images: None,
        format: request.response_format.unwrap_or(OpenAiResponseFormat::B64Json),
        quality: request.quality.unwrap_or(OpenAiQuality::Auto).name(),
        sized: request.size.is_some(),
        prompted: native.class_label.is_none(),
    };
    let mut translation = Translation { asked: Asked { request: native, errors }, manner };
    translation.size(request.size.as_deref());
    translation.output(&request);
    translation.quality(request.quality, validator);
    translation.partial_images(request.partial_images, validator);
    if request.background == Some(OpenAiBackground::Transparent) {
        translation.wrong("background", ErrorCode::UnsupportedValue, "cannot be transparent");
    }
    validator.fit_prompts(&mut translation.asked.request);
    (translation.asked, translation.manner)
}

struct Translation {
    asked: Asked,
    manner: Manner,
}

impl Translation {
    fn wrong(&mut self, field: &str, code: ErrorCode, message: &str) {
        self.asked.errors.push(FieldError { field: field.to_owned(), code, message: message.to_owned() });
    }

    fn request(&mut self) -> &mut GenerationRequest {
        &mut self.asked.request
    }

    fn size(&mut self, size: Option<&str>) {
        let Some(size) = size else { return };
        if size == "auto" {
            return;
        }
        if self.request().width.is_some() || self.request().height.is_some() {
            return self.wrong("size", ErrorCode::ConflictingParameters, "width and height are given, too");
        }
        let side = |text: &str| text.parse::<u32>().ok().map(i64::from);
        match size.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?))) {
            Some((width, height)) => {
                self.request().width = Some(width);
                self.request().height = Some(height);
            }
            None => {
                let message = "must be auto, or width and height in pixels such as 512x512";
                self.wrong("size", ErrorCode::InvalidSize, message);
            }
        }
    }

    fn output(&mut self, request: &OpenAiImageRequest) {
        let given = self.request().output.unwrap_or_default();
        if request.output_format.is_some() && given.format.is_some() {
            self.wrong("output_format", ErrorCode::ConflictingParameters, "output.format is given, too");
        }
        if request.output_compression.is_some() && given.quality.is_some() {
            self.wrong("output_compression", ErrorCode::ConflictingParameters, "output.quality is given, too");
        }
        let format = request.output_format.or(given.format).unwrap_or(ImageFormat::Png);
        let compression = match (format, request.output_compression) {
            (ImageFormat::Jpeg, compression) => given.quality.or(Some(match compression {
                None => 100,
                // JPEG knows no 0.
                Some(0) => 1,
                Some(compression) => compression,
            })),
            (ImageFormat::Png | ImageFormat::Webp, None | Some(100)) => given.quality,
            (ImageFormat::Png | ImageFormat::Webp, compression) => compression,
        };
        // The pictures of an event stream are in its events.
        let inline = if self.manner.stream { Some(true) } else { given.inline };
        self.request().output = Some(OutputRequest { format: Some(format), quality: compression, inline, ..given });
    }

    fn quality(&mut self, quality: Option<OpenAiQuality>, validator: &Validator) {
        let steps = |steps: u32| match quality.unwrap_or(OpenAiQuality::Auto) {
            OpenAiQuality::Auto | OpenAiQuality::Standard | OpenAiQuality::Medium => None,
            OpenAiQuality::Low => Some(i64::from(steps.div_ceil(2))),
            OpenAiQuality::High | OpenAiQuality::Hd => {
                Some(i64::from(steps.saturating_mul(2).min(validator.most_steps())))
            }
        };
        let steps = validator.model_of(self.request()).and_then(|info| steps(validator.default_steps(info)));
        if steps.is_some() && self.request().steps.is_some() {
            return self.wrong("quality", ErrorCode::ConflictingParameters, "steps are given, too");
        }
        let request = self.request();
        request.steps = request.steps.or(steps);
    }

    /// Asks for previews so that there is at least the wanted number of them, spread over the steps.
    fn partial_images(&mut self, count: Option<i64>, validator: &Validator) {
        let Some(count) = count else {
            self.manner.partial_images = self.request().preview.is_none().then_some(0);
            return;
        };
        self.manner.partial_images = u32::try_from(count).ok();
        if !(0..=MAX_PARTIAL_IMAGES).contains(&count) {
            return self.wrong("partial_images", ErrorCode::OutOfRange, "must be from 0 to 3");
        }
        if count == 0 {
            return;
        }
        if !self.manner.stream {
            return self.wrong(
                "partial_images",
                ErrorCode::ConflictingParameters,
                "there is no stream to send them in",
            );
        }
        let given = self.request().preview.unwrap_or_default();
        if given.every.is_some() {
            return self.wrong("partial_images", ErrorCode::ConflictingParameters, "preview.every is given, too");
        }
        let request = &self.asked.request;
        let default = || validator.model_of(request).map_or(1, |info| i64::from(validator.default_steps(info)));
        let steps = request.steps.unwrap_or_else(default);
        let format = given.format.or(request.output.and_then(|output| output.format));
        // One more than wanted, for the last step shows what the finished picture shows.
        let every = (steps / (count + 1)).max(1);
        self.request().preview = Some(PreviewRequest { every: Some(every), format, ..given });
    }
}
