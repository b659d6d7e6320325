//! `x0 healthcheck`: asks a server whether it is alive, for containers without a shell.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use super::CommandError;

/// Container engines wait longer before they give up.
const TIMEOUT: Duration = Duration::from_secs(4);
/// An honest answer is far shorter.
const LONGEST_ANSWER: u64 = 1 << 16;

/// Asks a server whether it is alive: exit code 0 if so, 1 if not.
#[derive(Clone, Debug, clap::Args)]
pub struct Healthcheck {
    /// The server's address [default: the one that it was told to listen on]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Where the server listens, if --url is not given
    #[arg(long, value_name = "ADDR:PORT", env = "X0_LISTEN", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
}

/// Where to ask: the authority and the path before the routes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    authority: String,
    prefix: String,
}

impl Healthcheck {
    /// Asks once.
    ///
    /// # Errors
    /// [`CommandError::Failed`] if there is no answer, or not the right one.
    pub fn run(&self) -> Result<(), CommandError> {
        let target = match &self.url {
            Some(url) => Target::parse(url)?,
            None => Target::local(self.listen),
        };
        let Target { authority, prefix } = &target;
        let head = ask(&target).map_err(|error| CommandError::Failed(format!("{authority}: {error}")))?;
        match head.split_whitespace().nth(1) {
            Some("200") => Ok(()),
            Some(status) => Err(CommandError::Failed(format!("{authority}{prefix}/livez: {status}"))),
            None => Err(CommandError::Failed(format!("{authority}: the answer is not HTTP"))),
        }
    }
}

impl Target {
    fn parse(url: &str) -> Result<Self, CommandError> {
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| CommandError::Usage(format!("--url: {url} does not begin with http://")))?;
        let (authority, prefix) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let port =
            if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) { "" } else { ":80" };
        Ok(Self { authority: format!("{authority}{port}"), prefix: prefix.trim_end_matches('/').to_owned() })
    }

    /// A server that listens on every address is reached over the loopback.
    fn local(listen: SocketAddr) -> Self {
        let ip = match listen {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
            SocketAddr::V4(_) | SocketAddr::V6(_) => listen.ip(),
        };
        Self { authority: SocketAddr::new(ip, listen.port()).to_string(), prefix: String::new() }
    }
}

/// Sends the request and reads the answer.
fn ask(target: &Target) -> std::io::Result<String> {
    let nobody = || std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such host");
    let address = target.authority.to_socket_addrs()?.next().ok_or_else(nobody)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let Target { authority, prefix } = target;
    write!(stream, "GET {prefix}/livez HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood() {
        for (url, authority, prefix) in [
            ("http://127.0.0.1:8000", "127.0.0.1:8000", ""),
            ("http://x0/", "x0:80", ""),
            ("http://[::1]:9/a/b/", "[::1]:9", "/a/b"),
            ("http://[::1]", "[::1]:80", ""),
        ] {
            let target = Target { authority: authority.to_owned(), prefix: prefix.to_owned() };
            assert_eq!(Target::parse(url), Ok(target), "{url}");
        }
        assert!(Target::parse("https://x0").is_err());
    }

    #[test]
    fn a_server_on_every_address_is_reached_over_the_loopback() {
        for (listen, authority) in
            [("0.0.0.0:8000", "127.0.0.1:8000"), ("[::]:80", "[::1]:80"), ("10.0.0.7:1", "10.0.0.7:1")]
        {
            assert_eq!(Target::local(listen.parse().unwrap()).authority, authority);
        }
    }
}
