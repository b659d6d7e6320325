//! The device that computes: from what was asked for to what the library needs. The only file that opens one.

use std::path::Path;

use x0_model::{Library, LoadError, OpenError, Placement, Precision, Shape};

use crate::config::DeviceChoice;

/// The name of the processor among devices.
pub const CPU: &str = "cpu";

/// A device that models can be loaded to.
#[derive(Clone, Debug)]
pub struct Device {
    placement: Placement,
    name: String,
    /// Why it is this one, where a better one was looked for.
    reason: Option<String>,
}

impl Device {
    /// Opens the device that was asked for. With [`DeviceChoice::Auto`] there always is one.
    ///
    /// # Errors
    /// What is missing, in one line.
    pub fn open(choice: DeviceChoice) -> Result<Self, OpenError> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::cpu()),
            DeviceChoice::Cuda(number) => Self::cuda(number),
            DeviceChoice::Auto => Ok(Self::cuda(0).unwrap_or_else(|error| match error {
                // There was no choice.
                OpenError::NotBuilt => Self::cpu(),
                OpenError::NoDriver(_)
                | OpenError::NoDevice { .. }
                | OpenError::TooOld { .. }
                | OpenError::Wrong { .. }
                | OpenError::Failed { .. } => Self { reason: Some(error.to_string()), ..Self::cpu() },
            })),
        }
    }

    /// The CPU, which is always there.
    pub fn cpu() -> Self {
        Self { placement: Placement::cpu(), name: CPU.to_owned(), reason: None }
    }

    fn cuda(number: usize) -> Result<Self, OpenError> {
        let placement = Placement::cuda(number, Precision::default())?;
        let model = placement.cuda_device().map_or("", |device| &device.name);
        Ok(Self { name: format!("cuda:{number} {model}"), placement, reason: None })
    }

    /// `cpu`, or as `cuda:0 NVIDIA H100 80GB HBM3`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why it is the CPU, where [`DeviceChoice::Auto`] looked for another one.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The models of a folder and those that are part of the program, to be loaded to this device.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn library(&self, models: Option<&Path>) -> Result<Library, LoadError> {
        Ok(Library::open(models)?.placed(self.placement.clone()))
    }

    /// A published model's configuration with random weights, on this device.
    ///
    /// # Errors
    /// If the configuration cannot be read.
    pub fn library_of_shape(&self, shape: Shape) -> Result<Library, LoadError> {
        Ok(Library::of_shape(shape)?.placed(self.placement.clone()))
    }
}

#[cfg(all(test, not(feature = "cuda")))]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_cuda_has_the_cpu_alone() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Cpu] {
            let device = Device::open(choice).unwrap();
            assert_eq!((device.name(), device.reason()), (CPU, None));
        }
        assert_eq!(Device::open(DeviceChoice::Cuda(0)).unwrap_err(), OpenError::NotBuilt);
    }
}
