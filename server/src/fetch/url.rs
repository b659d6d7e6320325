//! Which addresses of pictures are allowed.

use std::collections::BTreeSet;

use tokio_rustls::rustls::pki_types::DnsName;
use url::{Host, Position, Url};

/// Bytes of an address.
const MAX_LENGTH: usize = 2048;

/// The hosts from which pictures are fetched, by their exact names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(BTreeSet<String>);

/// A host that cannot be allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a host, such as images.example.com")]
pub struct HostRefused(String);

impl Hosts {
    /// Reads names, in any case and in any script.
    ///
    /// # Errors
    /// The first that is no host's name.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, HostRefused> {
        names
            .into_iter()
            .map(|name| host(name).ok_or_else(|| HostRefused(name.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The name as it stands in addresses: small letters, and Punycode for what is not ASCII.
fn host(name: &str) -> Option<String> {
    match Host::parse(name) {
        Ok(Host::Domain(name)) => (is_name(&name)).then_some(name),
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => None,
    }
}

/// Whether a certificate can name it. What ends in a dot is another name for the same host, and one name is enough.
fn is_name(name: &str) -> bool {
    !name.ends_with('.') && DnsName::try_from(name).is_ok()
}

/// The address of a picture that may be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureUrl {
    url: Url,
}

/// Why a picture is not fetched from an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    #[error("is not a URL")]
    NoUrl,
    #[error("is a URL of more than {MAX_LENGTH} bytes")]
    TooLong,
    #[error("must begin with https://")]
    NoHttps,
    #[error("must be a URL without a user")]
    User,
    #[error("must be a URL without a port")]
    Port,
    #[error("must name its host, not give its number")]
    Number,
    #[error("names a host from which this server fetches no pictures")]
    Host,
}

impl PictureUrl {
    /// Reads a URL, as browsers do.
    ///
    /// # Errors
    /// If no picture is fetched from there.
    pub fn parse(text: &str, hosts: &Hosts) -> Result<Self, UrlRefused> {
        if text.len() > MAX_LENGTH {
            return Err(UrlRefused::TooLong);
        }
        // A browser reads over some of these, and takes a backslash for a slash. Nobody writes them but to confuse.
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(UrlRefused::NoUrl);
        }
        let url = Url::parse(text).map_err(|_| UrlRefused::NoUrl)?;
        if url.scheme() != "https" {
            return Err(UrlRefused::NoHttps);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefused::User);
        }
        if url.port().is_some() {
            return Err(UrlRefused::Port);
        }
        match url.host() {
            Some(Host::Domain(name)) if hosts.0.contains(name) => Ok(Self { url }),
            Some(Host::Domain(_)) => Err(UrlRefused::Host),
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => Err(UrlRefused::Number),
            None => Err(UrlRefused::NoUrl),
        }
    }

    /// The host's name, which is one of those that are allowed.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// What the host is asked for.
    pub fn path_and_query(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_or_refused() {
        let hosts = Hosts::new(["example.com", "Bücher.example", "a.b-c.example", "xn--nxasmq6b.example"]).unwrap();
        let long = format!("https://example.com/{}", "a".repeat(MAX_LENGTH));
        for (text, expected) in [
            ("https://example.com/a.png", Ok("example.com /a.png")),
            ("https://example.com", Ok("example.com /")),
            ("https://example.com?size=1#part", Ok("example.com /?size=1")),
            ("https://example.com:443/a", Ok("example.com /a")),
            ("https://example.com:/a", Ok("example.com /a")),
            ("HTTPS://EXAMPLE.com/A", Ok("example.com /A")),
            ("https://example%2Ecom/a", Ok("example.com /a")),
            ("https://example。com/a", Ok("example.com /a")),
            ("https://bücher.example/ä", Ok("xn--bcher-kva.example /%C3%A4")),
            ("https://BÜCHER.example/", Ok("xn--bcher-kva.example /")),
            ("https://xn--bcher-kva.example/", Ok("xn--bcher-kva.example /")),
            ("https://a.b-c.example/../../x", Ok("a.b-c.example /x")),
            ("https://example.com/https://elsewhere.example/", Ok("example.com /https://elsewhere.example/")),
            ("http://example.com/", Err(UrlRefused::NoHttps)),
            ("ftp://example.com/", Err(UrlRefused::NoHttps)),
            ("file:///etc/passwd", Err(UrlRefused::NoHttps)),
            ("gopher://example.com:443/", Err(UrlRefused::NoHttps)),
            ("wss://example.com/", Err(UrlRefused::NoHttps)),
            ("https://example.com:8443/", Err(UrlRefused::Port)),
            ("https://example.com:80/", Err(UrlRefused::Port)),
            ("https://example.com:0/", Err(UrlRefused::Port)),
            ("https://example.com:65536/", Err(UrlRefused::NoUrl)),
            ("https://user@example.com/", Err(UrlRefused::User)),
            ("https://user:password@example.com/", Err(UrlRefused::User)),
            ("https://:password@example.com/", Err(UrlRefused::User)),
            ("https://example.com@elsewhere.example/", Err(UrlRefused::User)),
            ("https://example.com:443@127.0.0.1/", Err(UrlRefused::User)),
            ("https://127.0.0.1/", Err(UrlRefused::Number)),
            ("https://1.1.1.1/", Err(UrlRefused::Number)),
            ("https://127.1/", Err(UrlRefused::Number)),
            ("https://0x7f.1/", Err(UrlRefused::Number)),
            ("https://0x7f000001/", Err(UrlRefused::Number)),
            ("https://2130706433/", Err(UrlRefused::Number)),
            ("https://0177.0.0.1/", Err(UrlRefused::Number)),
            ("https://①②⑦.0.0.1/", Err(UrlRefused::Number)),
            ("https://127.0.0.1./", Err(UrlRefused::Number)),
            ("https://%31%32%37.0.0.1/", Err(UrlRefused::Number)),
            ("https://0/", Err(UrlRefused::Number)),
            ("https://[::1]/", Err(UrlRefused::Number)),
            ("https://[::ffff:127.0.0.1]/", Err(UrlRefused::Number)),
            ("https://[fe80::1]/", Err(UrlRefused::Number)),
            ("https://[fe80::1%25eth0]/", Err(UrlRefused::NoUrl)),
            ("https://127.0.0.256/", Err(UrlRefused::NoUrl)),
            ("https://example.com./", Err(UrlRefused::Host)),
            ("https://www.example.com/", Err(UrlRefused::Host)),
            ("https://com/", Err(UrlRefused::Host)),
            ("https://notexample.com/", Err(UrlRefused::Host)),
            ("https://example.com.elsewhere.example/", Err(UrlRefused::Host)),
            ("https://localhost/", Err(UrlRefused::Host)),
            ("https://ехample.com/", Err(UrlRefused::Host)),
            ("https://example.com%00.elsewhere.example/", Err(UrlRefused::NoUrl)),
            ("https://exam\tple.com/", Err(UrlRefused::NoUrl)),
            ("https://example.com/a b", Err(UrlRefused::NoUrl)),
            (" https://example.com/", Err(UrlRefused::NoUrl)),
            ("https://example.com\r\nhost: elsewhere.example/", Err(UrlRefused::NoUrl)),
            ("https://example.com\\@elsewhere.example/", Err(UrlRefused::NoUrl)),
            ("https://", Err(UrlRefused::NoUrl)),
            ("https:///", Err(UrlRefused::NoUrl)),
            ("://example.com", Err(UrlRefused::NoUrl)),
            (long.as_str(), Err(UrlRefused::TooLong)),
        ] {
            let url = PictureUrl::parse(text, &hosts);
            let found = url.map(|url| format!("{} {}", url.host(), url.path_and_query()));
            assert_eq!(found.as_deref().map_err(|refused| *refused), expected, "{text}");
        }
        let nowhere = PictureUrl::parse("https://example.com/", &Hosts::default());
        assert_eq!(nowhere, Err(UrlRefused::Host), "no host is allowed unless it is listed");
    }

    #[test]
    fn hosts_are_names() {
        let none: [&str; 0] = [];
        assert!(Hosts::new(none).unwrap().is_empty());
        let same = Hosts::new(["EXAMPLE.com", "bücher.example"]).unwrap();
        assert_eq!(same, Hosts::new(["example.com", "xn--bcher-kva.example"]).unwrap());
        for name in [
            "",
            " ",
            "*",
            "*.example.com",
            "example.com.",
            "example.com:443",
            "https://example.com",
            "a/b",
            "a b",
            "127.0.0.1",
            "0x7f.1",
            "[::1]",
            "::1",
            "user@example.com",
            "a..b",
        ] {
            assert_eq!(Hosts::new([name]), Err(HostRefused(name.to_owned())), "{name}");
        }
    }
}
