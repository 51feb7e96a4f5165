//! Patterns of network addresses: `host`, `host:port`, `:port`; a host is a name or an IP address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::PermissionError;
use super::grant::Pattern;

/// A host of a [`NetPattern`]. Names and addresses never equal each other: a grant for `localhost`
/// does not cover `127.0.0.1`, because what a name resolves to is not the operator's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetHost {
    /// An address; an IPv4 address mapped into IPv6 is the IPv4 address.
    Address(IpAddr),
    /// A name in lower case, without a final dot.
    Name(String),
}

/// Addresses that may be listened on, connected to or sent to; also one address that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetPattern {
    host: Option<NetHost>,
    port: Option<u16>,
}

impl NetPattern {
    /// Parses `example.com`, `127.0.0.1:8080`, `[::1]:80`, `::1` or `:8080`.
    ///
    /// # Errors
    /// Text that is neither, with a port over 65535 or with a host that is no name.
    pub fn parse(text: &str) -> Result<Self, PermissionError> {
        parse(text).map_err(|reason| PermissionError::Net {
            text: text.to_owned(),
            reason,
        })
    }

    /// The host; `None` covers every host.
    pub fn host(&self) -> Option<&NetHost> {
        self.host.as_ref()
    }

    /// The port; `None` covers every port.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

fn parse(text: &str) -> Result<NetPattern, &'static str> {
    // An IPv6 address without brackets has no port.
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        let host = NetHost::Address(IpAddr::V6(address).to_canonical());
        return Ok(NetPattern {
            host: Some(host),
            port: None,
        });
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']').ok_or("`]` is missing")?;
            let address = inside.parse::<Ipv6Addr>().map_err(|_| "not an IPv6 address")?;
            let port = match after {
                "" => None,
                after => Some(after.strip_prefix(':').ok_or("only `:port` may follow `]`")?),
            };
            (Some(NetHost::Address(IpAddr::V6(address).to_canonical())), port)
        }
        None => {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            (parse_host(host)?, port)
        }
    };
    let port = port.map(parse_port).transpose()?;
    if host.is_none() && port.is_none() {
        return Err("neither host nor port is given");
    }
    Ok(NetPattern { host, port })
}

fn parse_host(text: &str) -> Result<Option<NetHost>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Some(NetHost::Address(address.to_canonical())));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(is_name_byte) {
        return Err("not a host name; give international names in their ASCII form");
    }
    Ok(Some(NetHost::Name(name.to_ascii_lowercase())))
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    // `parse` alone would take "+80".
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the port is not a number");
    }
    text.parse().map_err(|_| "the port is not in 0..=65535")
}

impl Pattern for NetPattern {
    fn meet(&self, other: &Self) -> Option<Self> {
        Some(Self {
            host: meet_part(self.host.as_ref(), other.host.as_ref())?.cloned(),
            port: meet_part(self.port.as_ref(), other.port.as_ref())?.copied(),
        })
    }
}

/// The meet of two parts of which `None` covers everything; the outer `None` means they are disjoint.
fn meet_part<'a, T: PartialEq>(a: Option<&'a T>, b: Option<&'a T>) -> Option<Option<&'a T>> {
    match (a, b) {
        (None, part) | (part, None) => Some(part),
        (Some(a), Some(b)) => (a == b).then_some(Some(a)),
    }
}

impl fmt::Display for NetHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for NetPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            host.fmt(f)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::permissions::Grant;

    fn pattern(text: &str) -> NetPattern {
        NetPattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_covers_what_it_names() {
        for (grant, wanted, covered) in [
            ("127.0.0.1:8080", "127.0.0.1:8080", true),
            ("127.0.0.1:8080", "127.0.0.1:8081", false),
            ("127.0.0.1:8080", "127.0.0.1", false),
            ("127.0.0.1", "127.0.0.1:1", true),
            ("127.0.0.1", "127.0.0.2:1", false),
            (":8080", "example.com:8080", true),
            (":8080", "example.com:80", false),
            (":8080", "example.com", false),
            ("[::1]:80", "[0:0::1]:80", true),
            ("::1", "[::1]:80", true),
            ("127.0.0.1", "[::ffff:127.0.0.1]:80", true),
            ("Example.COM.", "example.com:443", true),
            ("example.com", "www.example.com:443", false),
            ("example.com", "example.com.evil.org", false),
            ("localhost", "127.0.0.1:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", false),
        ] {
            assert_eq!(
                pattern(grant).covers(&pattern(wanted)),
                covered,
                "{grant} covers {wanted}"
            );
        }
    }

    #[test]
    fn bad_patterns_say_what_is_wrong() {
        for (text, reason) in [
            ("", "neither host nor port"),
            (":", "the port is not in"),
            ("a:+80", "the port is not a number"),
            ("a:65536", "the port is not in"),
            ("a b:80", "not a host name"),
            ("*.example.com", "not a host name"),
            ("[::1", "`]` is missing"),
            ("[::1]80", "only `:port`"),
            ("[localhost]:80", "not an IPv6 address"),
            ("1:2:3", "the port is not a number"),
        ] {
            let error = NetPattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(error.contains("--allow-net=127.0.0.1:8080,example.com"), "{error}");
        }
    }

    #[test]
    fn display_reads_back() {
        for text in [
            "127.0.0.1:8080",
            "[::1]:80",
            "[::1]",
            ":8080",
            "example.com",
            "localhost:0",
        ] {
            assert_eq!(pattern(text).to_string(), text);
            assert_eq!(pattern(&pattern(text).to_string()), pattern(text));
        }
    }

    #[test]
    fn the_meet_of_a_host_and_a_port_is_the_pair() {
        let hosts = Grant::of(vec![pattern("a"), pattern("b:1")]);
        let ports = Grant::of(vec![pattern(":1"), pattern(":2")]);
        let both = Grant::of(vec![pattern("a:1"), pattern("a:2"), pattern("b:1")]);
        assert_eq!(hosts.meet(&ports), both);
    }
}
