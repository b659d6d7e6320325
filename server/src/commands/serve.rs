//! `x0 serve`.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{CommandError, open_device, print};
use crate::config::{AuthConfig, Config, DeviceArgs, ServeArgs};
use crate::denoiser::ModelDenoiser;
use crate::server::{Server, StartError};
use crate::shutdown::Stopped;
use crate::telemetry;

/// What the stopping may take beyond its own delays before the process ends anyway.
const GRACE: Duration = Duration::from_secs(20);

/// Serves until a signal comes.
///
/// # Errors
/// [`CommandError::Usage`] for settings that cannot be served with, [`CommandError::Failed`] if the server cannot be started,
/// [`CommandError::DeviceLost`] if it stopped because its device broke down.
pub fn serve(args: ServeArgs) -> Result<(), CommandError> {
    let _exporter = telemetry::init(&args.log).map_err(|error| CommandError::Usage(error.to_string()))?;
    let config = args.config().map_err(|error| CommandError::Usage(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CommandError::failed)?;
    let served = runtime.block_on(run(config));
    // A model call or an encoding that hangs must not keep the process.
    runtime.shutdown_background();
    served
}

async fn run(config: Config) -> Result<(), CommandError> {
    let device = open_device(DeviceArgs { device: config.device })?;
    let library = match config.shape {
        Some(shape) => super::models::of_shape(&device, shape)?,
        None => super::models::open(&device, config.models.as_deref())?,
    };
    for name in &config.default_models {
        if library.info(name).is_none() {
            return Err(CommandError::Usage(format!("--default-model: there is no model {name}")));
        }
    }
    if matches!(config.auth, AuthConfig::Open { .. }) && !config.listen.ip().is_loopback() {
        tracing::warn!(listen = %config.listen, "anyone who can reach this address can use the server: it asks for no key");
    }
    let longest = config.shutdown.delay + config.shutdown.drain + GRACE;
    let denoiser = library.clone();
    let make_denoiser = move || Ok::<_, std::convert::Infallible>(ModelDenoiser::new(denoiser));
    let server = Server::start(config, &device, library.clone(), make_denoiser).await.map_err(|error| match error {
        StartError::Keys(_) | StartError::Store { .. } => CommandError::Usage(error.to_string()),
        StartError::Listen { .. } | StartError::Engine(_) | StartError::Metrics(_) => CommandError::failed(error),
    })?;

    // Before anyone hears of the address: who knows it may send a signal.
    let stop = stop_signal(longest)?;
    let models: Vec<_> = library.infos().map(|info| info.name.as_str()).collect();
    let address = server.address();
    tracing::info!(device = device.name(), reason = device.reason(), "computing");
    tracing::info!(%address, models = models.join(","), version = env!("CARGO_PKG_VERSION"), "listening");
    print(format_args!("listening on http://{address}"))?;
    match server.run_until(stop).await {
        Stopped::Asked => Ok(()),
        Stopped::DeviceLost => Err(CommandError::DeviceLost("the device is lost".to_owned())),
    }
}

/// Comes with the first SIGTERM or SIGINT. The second ends the process at once, and so does the end of `longest` after the first.
fn stop_signal(longest: Duration) -> Result<impl Future<Output = ()>, CommandError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::failed)?;
    let (told, first) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // The server waits for it as long as it serves.
        let _ = told.send(());
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = tokio::time::sleep(longest) => {
                tracing::error!("stopping took too long");
                std::process::exit(0);
            }
        }
        std::process::exit(130);
    });
    Ok(async move {
        let _ = first.await;
    })
}
