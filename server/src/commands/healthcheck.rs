//! `x0 healthcheck`: asks a server whether it is alive, for containers without a shell.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use super::CommandError;

/// What asking may take. Container engines wait longer before they give up.
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
        let addresses = authority.to_socket_addrs();
        let addresses = addresses.map_err(|error| CommandError::Failed(format!("{authority}: {error}")))?;
        let head = ask(&addresses.collect::<Vec<_>>(), &target, TIMEOUT).map_err(CommandError::Failed)?;
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

/// Asks at one address after the other until one answers; otherwise says of each why it did not.
fn ask(addresses: &[SocketAddr], target: &Target, time: Duration) -> Result<String, String> {
    let until = Instant::now() + time;
    let mut failures = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        // One that stays silent must leave time for those after it, and no time at all is an error of its own.
        let left = until.saturating_duration_since(Instant::now()) / (addresses.len() - index) as u32;
        let share = left.max(Duration::from_millis(1));
        match ask_at(*address, target, share) {
            Ok(answer) => return Ok(answer),
            // What a socket says whose time is over depends on what it was doing.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                failures.push(format!("{address}: it did not answer within {share:.1?}"));
            }
            Err(error) => failures.push(format!("{address}: {error}")),
        }
    }
    if failures.is_empty() {
        failures.push(format!("{}: there is no such host", target.authority));
    }
    Err(failures.join("; "))
}

/// Sends the request and reads the answer.
fn ask_at(address: SocketAddr, target: &Target, time: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, time)?;
    stream.set_read_timeout(Some(time))?;
    stream.set_write_timeout(Some(time))?;
    let Target { authority, prefix } = target;
    write!(stream, "GET {prefix}/livez HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[test]
    fn every_address_of_a_name_is_asked() {
        let (closed, nobody) = listening();
        drop(closed);
        let (listener, somebody) = listening();
        let target = Target { authority: "x0:80".to_owned(), prefix: "/a".to_owned() };
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 18];
            stream.read_exact(&mut asked).unwrap();
            assert_eq!(&asked, b"GET /a/livez HTTP/");
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            // To close before everything was read would take the answer back.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert_eq!(ask(&[nobody, somebody], &target, TIMEOUT).unwrap(), "HTTP/1.1 200 OK\r\n\r\n");
        server.join().unwrap();
        assert_eq!(ask(&[], &target, TIMEOUT).unwrap_err(), "x0:80: there is no such host");
    }

    #[test]
    fn who_accepts_and_stays_silent_did_not_answer() {
        let (_silent, address) = listening();
        let told = ask(&[address, address], &Target::local(address), Duration::from_millis(400)).unwrap_err();
        assert_eq!(told.matches(&format!("{address}: it did not answer within ")).count(), 2, "{told}");
    }

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
