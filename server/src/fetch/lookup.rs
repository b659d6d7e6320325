//! Where a host is.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;

use super::address::is_public;

const HTTPS: u16 = 443;

/// Finds a host's addresses.
#[async_trait]
pub trait Lookup: Debug + Send + Sync {
    /// All addresses at which the host may be connected to.
    ///
    /// # Errors
    /// If there are none, or nobody can say.
    async fn addresses(&self, host: &str) -> io::Result<Vec<SocketAddr>>;
}

/// The operating system's answer, at HTTPS's own port.
#[derive(Clone, Copy, Debug)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, HTTPS)).await?.collect())
    }
}

/// Of another's answer those addresses that are the internet's.
#[derive(Clone, Copy, Debug)]
pub struct PublicOnly<L>(pub L);

#[async_trait]
impl<L: Lookup> Lookup for PublicOnly<L> {
    async fn addresses(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        let mut addresses = self.0.addresses(host).await?;
        addresses.retain(|address| is_public(address.ip()));
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "none of its addresses is the internet's"));
        }
        Ok(addresses)
    }
}
