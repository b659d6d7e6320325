//! Pictures that a request names by their address. Off unless the operator lists hosts, and then only from these, over HTTPS, from
//! addresses that anybody on the internet could reach: who can make this server ask must not reach what only this server can.

mod address;
mod download;
mod lookup;
mod url;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::future::join;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use x0_openapi::{ErrorCode, GenerationRequest};

pub use address::is_public;
pub use lookup::{Lookup, PublicOnly, SystemLookup};
pub use url::{HostRefused, Hosts, PictureUrl, UrlRefused};

use crate::picture::is_url;

/// What fetching may take.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// Of a picture's file.
    pub bytes: usize,
    /// For a connection, its TLS handshake included.
    pub connect: Duration,
    /// For the pictures of a request: the wait for its turn, and all that follows.
    pub total: Duration,
    /// Requests whose pictures are fetched, or held, at once. Each has two at most.
    pub at_once: usize,
}

impl FetchLimits {
    /// The limits for pictures of so many bytes.
    pub fn of_files(bytes: usize) -> Self {
        Self { bytes, connect: Duration::from_secs(5), total: Duration::from_secs(10), at_once: 8 }
    }
}

/// Fetches pictures. Clones share their turns.
#[derive(Clone, Debug)]
pub struct Fetcher {
    hosts: Arc<Hosts>,
    tls: Arc<ClientConfig>,
    lookup: Arc<dyn Lookup>,
    limits: FetchLimits,
    turns: Arc<Semaphore>,
}

/// Why pictures cannot be fetched at all.
#[derive(Debug, thiserror::Error)]
pub enum NoFetcher {
    #[error("this machine has no root certificates, by which hosts could prove who they are")]
    NoRoots,
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
}

/// Why a picture was not fetched. What it says is for the client, and tells nothing that only this server can see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("{0}")]
    NotAllowed(#[from] UrlRefused),
    /// Also where it has an address that is none of the internet's: who asks must not learn which.
    #[error("its host cannot be reached")]
    Unreachable,
    #[error("its host answered {0}, not 200")]
    Status(u16),
    #[error("is over {0} bytes")]
    TooLarge(usize),
    #[error("took longer than {} s", .0.as_secs_f64())]
    TooSlow(Duration),
    #[error("its host's answer broke off")]
    BrokeOff,
}

impl FetchError {
    pub fn code(&self) -> ErrorCode {
        match self {
            FetchError::NotAllowed(_) => ErrorCode::UrlNotAllowed,
            FetchError::Unreachable
            | FetchError::Status(_)
            | FetchError::TooLarge(_)
            | FetchError::TooSlow(_)
            | FetchError::BrokeOff => ErrorCode::FetchFailed,
        }
    }
}

/// What came of the addresses in a request; `None` for a field that is none. It holds the request's turn, and so bounds how many
/// files are in memory.
#[derive(Debug, Default)]
pub struct Fetched {
    pub init_image: Option<Result<Bytes, FetchError>>,
    pub mask_image: Option<Result<Bytes, FetchError>>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Fetched {
    /// The request with the pictures themselves in the place of their addresses.
    pub fn laid_into(&self, mut request: GenerationRequest) -> GenerationRequest {
        for (field, fetched) in
            [(&mut request.init_image, &self.init_image), (&mut request.mask_image, &self.mask_image)]
        {
            if let Some(Ok(file)) = fetched {
                *field = Some(BASE64.encode(file));
            }
        }
        request
    }
}

impl Fetcher {
    /// A fetcher that trusts whom this machine trusts, and goes nowhere but to the internet.
    ///
    /// # Errors
    /// If this machine trusts nobody.
    pub fn of_this_machine(hosts: Hosts, limits: FetchLimits) -> Result<Self, NoFetcher> {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "root certificates cannot be read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(NoFetcher::NoRoots);
        }
        Self::new(hosts, roots, Arc::new(PublicOnly(SystemLookup)), limits)
    }

    /// A fetcher that takes the word of `roots` for who a host is, and of `lookup` for where it is.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(
        hosts: Hosts,
        roots: RootCertStore,
        lookup: Arc<dyn Lookup>,
        limits: FetchLimits,
    ) -> Result<Self, NoFetcher> {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let turns = Arc::new(Semaphore::new(limits.at_once));
        Ok(Self { hosts: Arc::new(hosts), tls: Arc::new(tls), lookup, limits, turns })
    }

    /// Fetches the pictures that a request names by address.
    pub async fn fetch(&self, request: &GenerationRequest) -> Fetched {
        let [init_image, mask_image] = [&request.init_image, &request.mask_image].map(|text| {
            let text = text.as_deref().filter(|text| is_url(text))?;
            Some(PictureUrl::parse(text, &self.hosts))
        });
        if init_image.is_none() && mask_image.is_none() {
            return Fetched::default();
        }
        let until = Instant::now() + self.limits.total;
        let turn = timeout_at(until, self.turns.clone().acquire_owned()).await.ok().and_then(Result::ok);
        let (init_image, mask_image) =
            join(self.one(init_image, turn.is_some(), until), self.one(mask_image, turn.is_some(), until)).await;
        Fetched { init_image, mask_image, _turn: turn }
    }

    async fn one(
        &self,
        url: Option<Result<PictureUrl, UrlRefused>>,
        has_turn: bool,
        until: Instant,
    ) -> Option<Result<Bytes, FetchError>> {
        let too_slow = FetchError::TooSlow(self.limits.total);
        Some(match url? {
            Err(refused) => Err(refused.into()),
            Ok(_) if !has_turn => Err(too_slow),
            Ok(url) => timeout_at(until, self.download(&url)).await.unwrap_or(Err(too_slow)),
        })
    }

    /// The host is looked up once, and the addresses that were found good are those that are connected to: an answer that changes
    /// in between changes nothing.
    async fn download(&self, url: &PictureUrl) -> Result<Bytes, FetchError> {
        let addresses = self.lookup.addresses(url.host()).await.map_err(|error| unreachable(url, &error))?;
        download::download(url, &addresses, &self.tls, self.limits).await
    }
}

/// The cause is for the operator.
fn unreachable(url: &PictureUrl, cause: &dyn std::fmt::Display) -> FetchError {
    tracing::info!(host = url.host(), %cause, "a host of pictures cannot be reached");
    FetchError::Unreachable
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use futures::future::join_all;

    use super::*;

    /// Is asked, and never answers.
    #[derive(Debug, Default)]
    struct Silent {
        asked: AtomicUsize,
    }

    #[async_trait]
    impl Lookup for Silent {
        async fn addresses(&self, _: &str) -> io::Result<Vec<SocketAddr>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_take_turns_and_wait_no_longer_than_they_may() {
        let lookup = Arc::new(Silent::default());
        let hosts = Hosts::new(["pictures.test"]).unwrap();
        let limits = FetchLimits { at_once: 2, ..FetchLimits::of_files(1000) };
        let fetcher = Fetcher::new(hosts, RootCertStore::empty(), lookup.clone(), limits).unwrap();
        let url = Some("https://pictures.test/a.png".to_owned());
        let request = GenerationRequest { init_image: url.clone(), mask_image: url, ..GenerationRequest::default() };
        let begun = Instant::now();
        let fetched = join_all((0..5).map(|_| fetcher.fetch(&request))).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(10));
        for Fetched { init_image, mask_image, .. } in &fetched {
            let too_slow = Some(Err(FetchError::TooSlow(Duration::from_secs(10))));
            assert_eq!((init_image, mask_image), (&too_slow, &too_slow));
        }
        assert_eq!(lookup.asked.load(Ordering::SeqCst), 4, "two requests of two pictures");
        drop(fetched);
        drop(fetcher.fetch(&request).await);
        assert_eq!(lookup.asked.load(Ordering::SeqCst), 6, "a turn ends with what was fetched in it");
    }
}
