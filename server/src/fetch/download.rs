//! One connection for one picture. This is the only file that connects to what a client names.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{FetchError, FetchLimits, PictureUrl, unreachable};

/// Bytes of an answer's head, and of what is read ahead.
const BUFFER: usize = 16 << 10;
/// Headers of an answer.
const HEADERS: usize = 64;

/// Gets a file from one of these addresses. There is no proxy on the way, and where the host sends us elsewhere we do not go.
pub(super) async fn download(
    url: &PictureUrl,
    addresses: &[SocketAddr],
    tls: &Arc<ClientConfig>,
    limits: FetchLimits,
) -> Result<Bytes, FetchError> {
    let connected = timeout(limits.connect, connect(url, addresses, tls)).await;
    let stream = match connected {
        Ok(stream) => stream.map_err(|error| unreachable(url, &error))?,
        Err(elapsed) => return Err(unreachable(url, &elapsed)),
    };
    let broke_off = |error: hyper::Error| {
        tracing::info!(host = url.host(), %error, "a host of pictures does not speak HTTP as it should");
        FetchError::BrokeOff
    };
    let mut builder = http1::Builder::new();
    let (mut sender, connection) =
        builder.max_buf_size(BUFFER).max_headers(HEADERS).handshake(TokioIo::new(stream)).await.map_err(broke_off)?;
    let request = Request::get(url.path_and_query())
        .header(header::HOST, url.host())
        .header(header::ACCEPT, "image/png, image/jpeg, image/webp")
        .header(header::USER_AGENT, concat!("x0/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| unreachable(url, &error))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(broke_off)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        file(answer.into_body(), limits.bytes).await
    };
    // The connection is driven as long as its answer is waited for. Its end is not the answer's, parts of which may still be under way.
    let driven = async {
        if let Err(error) = connection.await {
            tracing::debug!(host = url.host(), %error, "the connection to a host of pictures broke off");
        }
        std::future::pending::<()>().await
    };
    tokio::select! {
        answer = answer => answer,
        () = driven => Err(FetchError::BrokeOff),
    }
}

async fn connect(
    url: &PictureUrl,
    addresses: &[SocketAddr],
    tls: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(url.host().to_owned()).map_err(io::Error::other)?;
    let stream = TcpStream::connect(addresses).await?;
    TlsConnector::from(tls.clone()).connect(name, stream).await
}

/// Reads an answer's body, up to a length.
async fn file(body: Incoming, most: usize) -> Result<Bytes, FetchError> {
    if body.size_hint().lower() > most as u64 {
        return Err(FetchError::TooLarge(most));
    }
    match Limited::new(body, most).collect().await {
        Ok(file) => Ok(file.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge(most)),
        Err(_) => Err(FetchError::BrokeOff),
    }
}
