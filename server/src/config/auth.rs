//! Who may use the server: as typed, then checked.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::HeaderValue;

use super::ConfigError;
use crate::auth::Limits;

/// Who may use the server, and how much of it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Keys")]
pub struct AuthArgs {
    /// The file of keys that requests must come with; made by `x0 keys`, and read again when it changes
    #[arg(long, value_name = "FILE", env = "X0_KEYS")]
    pub keys: Option<PathBuf>,
    /// Serve everyone who reaches an address that others can reach
    #[arg(long, env = "X0_INSECURE_NO_AUTH", value_parser = clap::builder::BoolishValueParser::new())]
    pub insecure_no_auth: bool,
    /// Show /metrics to everyone, not only to keys of the scope read
    #[arg(long, env = "X0_PUBLIC_METRICS", value_parser = clap::builder::BoolishValueParser::new())]
    pub public_metrics: bool,
    /// Web pages that may use the server, besides its own: origins such as https://example.org
    #[arg(long = "cors-origin", value_name = "ORIGIN", env = "X0_CORS_ORIGIN", value_delimiter = ',', value_parser = origin)]
    pub cors_origins: Vec<HeaderValue>,
    #[command(flatten)]
    pub limits: KeyLimitArgs,
}

/// What one key may use, where the key file does not say otherwise; 0 is no limit.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Limits of a key, unless the key file says otherwise; 0 is none")]
pub struct KeyLimitArgs {
    /// Requests a minute; more are refused with 429
    #[arg(long, value_name = "COUNT", env = "X0_KEY_REQUESTS_PER_MINUTE", default_value_t = 600)]
    pub key_requests_per_minute: u32,
    /// Pixels times steps a minute; more are refused with 429
    #[arg(long, value_name = "COUNT", env = "X0_KEY_PIXEL_STEPS_PER_MINUTE", default_value_t = 0)]
    pub key_pixel_steps_per_minute: u64,
    /// Generations that may wait and run at once; more are refused with 429
    #[arg(long, value_name = "COUNT", env = "X0_KEY_QUEUE_SIZE", default_value_t = 64)]
    pub key_queue_size: u32,
    /// Open event streams; more are refused with 429
    #[arg(long, value_name = "COUNT", env = "X0_KEY_STREAMS", default_value_t = 32)]
    pub key_streams: u32,
}

/// Who may use the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthConfig {
    /// Everyone; also what needs the scope `admin`, if `admin`.
    Open { admin: bool },
    /// Who has a key of this file. The limits are for keys without their own.
    Keys { file: PathBuf, limits: Limits },
}

impl AuthArgs {
    /// Checks whether it is safe to listen on this address.
    ///
    /// # Errors
    /// If others can reach it, there are no keys, and nobody said that this is meant.
    pub(super) fn auth(&self, listen: SocketAddr) -> Result<AuthConfig, ConfigError> {
        let loopback = listen.ip().is_loopback();
        match &self.keys {
            Some(_) if self.insecure_no_auth => Err(ConfigError {
                flag: "--insecure-no-auth",
                message: "cannot be had together with --keys".to_owned(),
            }),
            Some(file) => Ok(AuthConfig::Keys { file: file.clone(), limits: self.limits.limits() }),
            None if loopback || self.insecure_no_auth => Ok(AuthConfig::Open { admin: loopback }),
            None => Err(ConfigError {
                flag: "--listen",
                message: format!(
                    "others can reach {listen}, and there are no keys. Make one with `x0 keys new --keys FILE --name NAME` and give \
                     --keys FILE (X0_KEYS), or say --insecure-no-auth (X0_INSECURE_NO_AUTH=true) to serve everyone"
                ),
            }),
        }
    }
}

impl KeyLimitArgs {
    pub(crate) fn limits(self) -> Limits {
        Limits {
            requests_per_minute: Some(self.key_requests_per_minute).filter(|limit| *limit > 0),
            pixel_steps_per_minute: Some(self.key_pixel_steps_per_minute).filter(|limit| *limit > 0),
            queue_size: Some(self.key_queue_size).filter(|limit| *limit > 0),
            streams: Some(self.key_streams).filter(|limit| *limit > 0),
        }
    }
}

/// Reads an origin as browsers send it: scheme, host and perhaps a port.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let wrong = || "must be an origin such as https://example.org, without a path".to_owned();
    let uri: axum::http::Uri = text.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme)).ok_or_else(wrong)?;
    let whole = format!("{scheme}://{authority}");
    if whole != text || authority.as_str().contains('@') || text.contains('*') {
        return Err(wrong());
    }
    HeaderValue::try_from(text.to_ascii_lowercase()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_host_and_port() {
        for good in ["https://example.org", "http://localhost:3000", "http://[::1]:80"] {
            assert_eq!(origin(good).unwrap(), good);
        }
        for wrong in ["*", "example.org", "https://example.org/", "https://*.example.org", "ftp://x", "https://a@b", ""]
        {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
