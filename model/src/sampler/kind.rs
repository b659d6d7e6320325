//! The samplers by name.

use std::fmt;

use super::plan::Definition;
use super::{
    SamplerError, ddim, ddpm, deis, dpm2, dpm2_ancestral, dpmpp_2m, dpmpp_2m_sde, dpmpp_2s, euler, euler_ancestral,
    heun, lcm, lms, pndm, unipc,
};
use crate::schedule::NoiseSchedule;

/// Makes the enum from one line a sampler: the variant, and the module with its definition.
macro_rules! samplers {
    ($($variant:ident: $module:ident,)*) => {
        /// A sampling method: one class of diffusers with the options that make it this method.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum SamplerKind {
            $(#[doc = concat!("See [`SamplerKind::label`]; defined in `", stringify!($module), ".rs`.")] $variant,)*
        }

        impl SamplerKind {
            /// All samplers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub(super) fn definition(self) -> &'static Definition {
                match self {
                    $(Self::$variant => &$module::DEFINITION,)*
                }
            }
        }
    };
}

samplers! {
    Ddpm: ddpm,
    Ddim: ddim,
    Pndm: pndm,
    Lms: lms,
    Euler: euler,
    EulerAncestral: euler_ancestral,
    Heun: heun,
    Dpm2: dpm2,
    Dpm2Ancestral: dpm2_ancestral,
    Dpmpp2m: dpmpp_2m,
    Dpmpp2mSde: dpmpp_2m_sde,
    Dpmpp2s: dpmpp_2s,
    Unipc: unipc,
    Deis: deis,
    Lcm: lcm,
}

impl SamplerKind {
    /// The name on the wire, for example `dpmpp_2m`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.definition().name
    }

    /// All names on the wire.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|kind| kind.name()).collect()
    }

    /// The name for people, as AUTOMATIC1111 shows it, for example `DPM++ 2M`.
    #[must_use]
    pub fn label(self) -> &'static str {
        self.definition().label
    }

    /// Further names that [`Self::parse`] takes.
    #[must_use]
    pub fn aliases(self) -> &'static [&'static str] {
        self.definition().aliases
    }

    /// The class of diffusers that defines the method.
    #[must_use]
    pub fn diffusers_class(self) -> &'static str {
        self.definition().class
    }

    /// Whether noise schedules other than the default one can be chosen.
    #[must_use]
    pub fn has_noise_schedule(self) -> bool {
        self.definition().has_noise_schedule
    }

    /// Whether the timestep spacing can be chosen.
    #[must_use]
    pub fn has_timestep_spacing(self) -> bool {
        self.definition().has_timestep_spacing
    }

    /// Whether η, the share of fresh noise, can be chosen.
    #[must_use]
    pub fn has_eta(self) -> bool {
        self.definition().has_eta
    }

    /// The sampler of a name, and the noise schedule that the name ends with, if any. Takes the names on the wire, the
    /// labels, the aliases and the classes of diffusers, whatever their case, with spaces and hyphens for underscores;
    /// for example `DPM++ 2M Karras`.
    ///
    /// # Errors
    /// A name that no sampler has.
    pub fn parse(name: &str) -> Result<(Self, NoiseSchedule), SamplerError> {
        let plain = normalize(name);
        for (suffix, schedule) in [
            ("", NoiseSchedule::Default),
            ("_karras", NoiseSchedule::Karras),
            ("_exponential", NoiseSchedule::Exponential),
            ("_beta", NoiseSchedule::Beta),
        ] {
            let kind = plain
                .strip_suffix(suffix)
                .and_then(|stem| Self::ALL.iter().find(|kind| kind.definition().answers_to(stem)));
            if let Some(kind) = kind {
                return Ok((*kind, schedule));
            }
        }
        Err(SamplerError::UnknownSampler { name: name.to_owned() })
    }
}

impl fmt::Display for SamplerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Definition {
    fn answers_to(&self, normalized: &str) -> bool {
        [self.name, self.label, self.class].iter().chain(self.aliases).any(|name| normalize(name) == normalized)
    }
}

fn normalize(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_").replace("++", "pp")
}
