//! Closed sets of words.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A closed set of words that stand for values on the wire.
pub trait Named: Copy + Sized + 'static {
    /// Every value, in the order in which they are listed to people.
    const ALL: &'static [Self];

    /// The word.
    fn name(self) -> &'static str;

    /// The value that `name` stands for.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.name() == name)
    }
}

/// Declares an enum whose variants are words, once for serde, the document and [`Named`].
macro_rules! named {
    ($(#[$meta:meta])* $type:ident { $($(#[$variant_meta:meta])* $variant:ident = $name:tt),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        pub enum $type {
            $($(#[$variant_meta])* #[serde(rename = $name)] $variant),+
        }

        impl $crate::names::Named for $type {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}
pub(crate) use named;

named! {
    /// Where a generation stands. The last three are terminal: none is ever left.
    State {
        /// Accepted, and not begun.
        Queued = "queued",
        /// Its first image was begun.
        Running = "running",
        /// Every image is finished.
        Succeeded = "succeeded",
        /// It could not be finished; `error` says why.
        Failed = "failed",
        /// A client cancelled it.
        Cancelled = "cancelled",
    }
}

impl State {
    /// Whether nothing more will happen to the generation.
    pub fn is_terminal(self) -> bool {
        match self {
            State::Queued | State::Running => false,
            State::Succeeded | State::Failed | State::Cancelled => true,
        }
    }
}

named! {
    /// What a key allows.
    Scope {
        /// Making pictures, and cancelling them.
        Generate = "generate",
        /// Looking at the key's own generations, at the models and at the metrics.
        Read = "read",
        /// Loading and unloading models, listing and revoking keys.
        Admin = "admin",
    }
}

named! {
    /// How urgent a generation is among others that wait.
    Priority {
        Low = "low",
        Normal = "normal",
        High = "high",
    }
}

named! {
    /// What becomes of a generation when the client that waits for its answer goes away.
    OnDisconnect {
        /// It is cancelled. The default where the answer is the picture, the record after a wait, or the event stream, and there is no
        /// `Idempotency-Key`.
        Cancel = "cancel",
        /// It is finished and kept. The default where the answer is 202, and with an `Idempotency-Key`: the client will ask again.
        Keep = "keep",
    }
}

named! {
    /// How a preview is made of the model's prediction.
    PreviewDecoder {
        /// The best one that costs little: `full` for pixel-space models; for latent models `tiny` where there is one, otherwise `linear`.
        Auto = "auto",
        /// No previews.
        None = "none",
        /// Latent models: a matrix from latent channels to colours, at an eighth of the size.
        Linear = "linear",
        /// Latent models: a small decoder that comes with the model.
        Tiny = "tiny",
        /// The model's own decoder. For pixel-space models the prediction is the picture, and this is exact and free.
        Full = "full",
    }
}

named! {
    /// How the noise levels are spread over the steps.
    NoiseSchedule {
        /// The model's own.
        Default = "default",
        /// Karras et al. 2022, equation 5.
        Karras = "karras",
        Exponential = "exponential",
        /// Lee et al. 2024.
        Beta = "beta",
    }
}

named! {
    /// Whose random numbers the noise is made of: the same seed gives another picture with each.
    NoiseSource {
        /// `torch.randn` on a CPU, which diffusers' pictures begin with.
        Torch = "torch",
        /// `torch.randn` on an NVIDIA GPU, which AUTOMATIC1111's pictures begin with ("GPU", "NV").
        Philox = "philox",
    }
}

named! {
    /// How `prompt` and `negative_prompt` are read.
    PromptSyntax {
        /// Every character is text. What is beyond the length of the model's text encoder is cut off, with a warning.
        Plain = "plain",
        /// As AUTOMATIC1111 reads them: `(word)` and `(word:1.3)` for more weight, `[word]` for less, `\(` for the character, `BREAK` between
        /// parts that are encoded apart, `one AND two :0.5` for conditions that are composed. Long text is encoded in chunks.
        /// `[from:to:when]` and `[one|another]` are refused.
        A1111 = "a1111",
    }
}

named! {
    /// Which of the training's timesteps are visited (Lin et al. 2023, table 2).
    TimestepSpacing {
        Linspace = "linspace",
        Leading = "leading",
        Trailing = "trailing",
    }
}

named! {
    /// Where a mask lets the picture be made anew.
    MaskWhere {
        /// Where it is white. Transparent parts count as white.
        White = "white",
        /// Where it is black.
        Black = "black",
        /// Where it is transparent, whatever its colours: OpenAI's way.
        Transparent = "transparent",
    }
}

named! {
    /// How a picture is brought to another shape.
    InitResize {
        /// Without regard to its proportions.
        Stretch = "stretch",
        /// Until it covers the new shape; what stands out is cut off, on both sides alike.
        Crop = "crop",
        /// Until it fits into the new shape; what is left is filled with the pixels at its edge.
        Fill = "fill",
    }
}

named! {
    /// What the masked part of a picture starts from.
    MaskFill {
        /// What the picture shows there.
        Picture = "picture",
        /// The colours around it, blurred.
        Surroundings = "surroundings",
        /// Noise alone.
        Noise = "noise",
        /// Latents of zero, a plain middle tone.
        Nothing = "nothing",
    }
}

named! {
    /// How a picture is enlarged between two passes: its latents by the methods of torch's `interpolate`, or the decoded picture.
    Upscaler {
        /// Latents, linearly.
        Latent = "latent",
        LatentBicubic = "latent_bicubic",
        /// With the coefficients that torch takes when it is asked for antialiasing.
        LatentBicubicAntialiased = "latent_bicubic_antialiased",
        LatentNearest = "latent_nearest",
        LatentNearestExact = "latent_nearest_exact",
        /// The decoded picture, by Lanczos' filter.
        Lanczos = "lanczos",
        /// The decoded picture, by its nearest pixels.
        Nearest = "nearest",
    }
}

named! {
    /// How a picture is encoded. WebP is written without loss.
    ImageFormat {
        Png = "png",
        Jpeg = "jpeg",
        Webp = "webp",
    }
}

impl ImageFormat {
    /// The media type, as in `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            ImageFormat::Png => "image/png",
            ImageFormat::Jpeg => "image/jpeg",
            ImageFormat::Webp => "image/webp",
        }
    }
}
