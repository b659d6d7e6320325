//! What the simulated device is like, from the environment.

use std::env;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::status::Error;

/// The simulated device.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `X0_SIMULATED_CAPABILITY`, the compute capability: major and minor version.
    pub(crate) capability: (i32, i32),
    /// `X0_SIMULATED_MEMORY`, in bytes.
    pub(crate) memory: usize,
    /// `X0_SIMULATED_TRACE`: whether each launch is written to the error output.
    pub(crate) trace: bool,
    /// `X0_SIMULATED_LAUNCHES`: how many kernels are run before the device is lost, as it is by a kernel that fails.
    pub(crate) launches: Option<u64>,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

impl Settings {
    /// Reads the environment, the first time.
    pub(crate) fn read() -> Result<&'static Self, Error> {
        let settings = Self::from_environment().map_err(|message| {
            eprintln!("CUDA simulator: {message}");
            Error::NoDevice
        })?;
        Ok(SETTINGS.get_or_init(|| settings))
    }

    /// What [`Settings::read`] has read.
    pub(crate) fn get() -> Result<&'static Self, Error> {
        SETTINGS.get().ok_or(Error::NotInitialized)
    }

    fn from_environment() -> Result<Self, String> {
        let Capability(capability) = variable("X0_SIMULATED_CAPABILITY")?.unwrap_or(Capability((8, 0)));
        let memory = variable("X0_SIMULATED_MEMORY")?.unwrap_or(8 << 30);
        let trace = variable::<u8>("X0_SIMULATED_TRACE")?.is_some_and(|trace| trace != 0);
        let launches = variable("X0_SIMULATED_LAUNCHES")?;
        Ok(Self { capability, memory, trace, launches })
    }
}

fn variable<T: FromStr>(name: &str) -> Result<Option<T>, String> {
    let Some(value) = env::var_os(name) else { return Ok(None) };
    let parsed = value.to_str().and_then(|value| value.parse().ok());
    parsed.map(Some).ok_or_else(|| format!("{name} cannot be {}", value.display()))
}

/// As in `8.0`.
struct Capability((i32, i32));

impl FromStr for Capability {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.split_once('.').ok_or(())?;
        Ok(Self((major.parse().map_err(drop)?, minor.parse().map_err(drop)?)))
    }
}
