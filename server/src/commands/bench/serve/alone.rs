//! What requests take and give when nothing else is served.

use serde_json::Value;

use super::client::Client;
use super::load::Load;
use crate::commands::CommandError;
use crate::commands::bench::statistics::median;

/// Each request is made so often, after once that is not measured.
const TIMES: usize = 3;

/// By the requests' places in the load.
#[derive(Clone, Debug)]
pub(super) struct Alone(Vec<Solo>);

#[derive(Clone, Debug)]
struct Solo {
    seconds: f64,
    picture: String,
}

impl Alone {
    pub(super) async fn measure(client: &Client, load: &Load) -> Result<Self, CommandError> {
        let mut solos = Vec::new();
        for body in load.bodies() {
            solos.push(solo(client, body).await?);
        }
        Ok(Self(solos))
    }

    pub(super) fn seconds(&self, request: usize) -> f64 {
        self.0[request].seconds
    }

    /// In base64.
    pub(super) fn picture(&self, request: usize) -> &str {
        &self.0[request].picture
    }
}

async fn solo(client: &Client, body: &Value) -> Result<Solo, CommandError> {
    let picture = client.follow(body).await?.picture;
    let picture = picture.ok_or_else(|| CommandError::Failed(format!("the server made no picture of {body}")))?;
    let mut seconds = Vec::new();
    for _ in 0..TIMES {
        seconds.push(client.follow(body).await?.seconds);
    }
    Ok(Solo { seconds: median(&seconds).unwrap_or(f64::NAN), picture })
}
