//! How well requests are served that come when they come.

mod alone;
mod client;
mod load;
mod server;
mod table;
mod trial;

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Serialize;
use x0_engine::Policy;
use x0_model::Shape;

use crate::commands::{CommandError, print, remark};
use crate::config::{DeviceArgs, shape};
use alone::Alone;
use client::Client;
use load::Load;
use server::Server;
use trial::Trial;

/// Loads between which the greatest is sought that is borne.
const RANGE: (f64, f64) = (0.1, 3.2);
/// Halvings of the logarithm of that range, which leave a tenth.
const HALVINGS: u32 = 5;
const HUNDRED: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
const EIGHT: NonZeroU32 = NonZeroU32::MIN.saturating_add(7);

/// Measures how well requests are served that come at random times: latency, time to the first preview, and goodput, the greatest
/// load at which nine in ten are finished within three times what they take alone
#[derive(Clone, Debug, clap::Args)]
pub(super) struct BenchServe {
    /// A running server [default: one is started for each policy]
    #[arg(long, value_name = "URL", conflicts_with_all = ["policies", "models", "shape", "device"])]
    url: Option<String>,
    /// How the server chooses; may be given several times [default: best-value, first-come and fixed-batch:8]
    #[arg(long = "policy", value_name = "POLICY")]
    policies: Vec<Policy>,
    /// Only these models; may be given several times [default: those that are part of the program, or else all]
    #[arg(long = "model", value_name = "NAME")]
    only: Vec<String>,
    /// A load, where 1 is what one image after the other can bear; may be given several times [default: the greatest that is borne
    /// is sought]
    #[arg(long = "load", value_name = "LOAD", value_parser = positive)]
    loads: Vec<f64>,
    /// Requests of each trial
    #[arg(long, value_name = "COUNT", default_value_t = HUNDRED)]
    requests: NonZeroU32,
    /// The number that times and kinds of requests are drawn from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
    /// A folder of models, besides those that are part of the program
    #[arg(long, value_name = "DIR", env = "X0_MODELS")]
    models: Option<PathBuf>,
    /// Instead of all of them a published model's configuration with random weights: sd15 or sdxl
    #[arg(long, value_name = "NAME", value_parser = shape, conflicts_with = "models")]
    shape: Option<Shape>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// What came of one policy.
#[derive(Clone, Debug, Serialize)]
struct Served {
    policy: String,
    /// Mean seconds of a request of the mix that is served alone.
    alone_seconds: f64,
    /// If it was sought and any load was borne.
    goodput: Option<Goodput>,
    trials: Vec<Trial>,
}

/// The greatest load that is borne.
#[derive(Clone, Copy, Debug, Serialize)]
struct Goodput {
    load: f64,
    requests_per_second: f64,
}

impl BenchServe {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let all = runtime.map_err(CommandError::failed)?.block_on(self.serve())?;
        if self.json { print(serde_json::json!(all)) } else { table::tell(&all) }?;
        match all.iter().flat_map(|served| &served.trials).map(|trial| trial.different).sum::<usize>() {
            0 => Ok(()),
            n => Err(CommandError::Failed(format!("{n} pictures are not those that the same requests gave alone"))),
        }
    }

    async fn serve(&self) -> Result<Vec<Served>, CommandError> {
        if let Some(url) = &self.url {
            return Ok(vec![self.policy("as it runs".to_owned(), &Client::new(url)).await?]);
        }
        let usual = [Policy::BestValue, Policy::FirstCome, Policy::FixedBatch(EIGHT)];
        let policies = if self.policies.is_empty() { &usual[..] } else { &self.policies };
        let mut all = Vec::new();
        for policy in policies {
            let server = Server::start(*policy, self.models.as_deref(), self.shape, self.device.device)?;
            all.push(self.policy(policy.to_string(), &Client::new(server.url())).await?);
        }
        Ok(all)
    }

    async fn policy(&self, policy: String, client: &Client) -> Result<Served, CommandError> {
        let load = Load::new(&client.models().await?, &self.only)?;
        let alone = Alone::measure(client, &load).await?;
        let alone_seconds = load.mean(|request| alone.seconds(request));
        let mut trials: Vec<Trial> = Vec::new();
        let sought = self.loads.is_empty();
        let (mut borne, mut too_much) = RANGE;
        while trials.len() < if sought { HALVINGS as usize } else { self.loads.len() } {
            let rate = if sought { (borne * too_much).sqrt() } else { self.loads[trials.len()] };
            let arrivals = load.arrivals(self.requests, rate / alone_seconds, self.seed);
            let trial = Trial::make(client, &alone, arrivals, rate, sought).await?;
            remark(format_args!("{policy} at {rate:.2}: {:.0} % in time", 100.0 * trial.in_time));
            if trial.is_borne() {
                borne = rate;
            } else {
                too_much = rate;
            }
            trials.push(trial);
        }
        let found = sought && trials.iter().any(Trial::is_borne);
        let goodput = found.then(|| Goodput { load: borne, requests_per_second: borne / alone_seconds });
        Ok(Served { policy, alone_seconds, goodput, trials })
    }
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0).ok_or("must be positive".to_owned())
}
