//! Addresses of the network interfaces.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::ifaddrs::{self, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

/// One address of an interface that is up, as `os.networkInterfaces()` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// Name of the interface.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// Its network mask.
    pub netmask: IpAddr,
    /// Hardware address, zeros when it has none.
    pub mac: [u8; 6],
    /// Whether only this machine is behind it.
    pub is_internal: bool,
    /// Number of the zone an IPv6 address holds in; 0 for a global one.
    pub scope_id: Option<u32>,
}

impl InterfaceAddress {
    /// The hardware address as text: `02:00:00:00:00:01`.
    pub fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }
}

/// All of them, in the kernel's order; empty when the kernel does not say.
pub fn interface_addresses() -> Vec<InterfaceAddress> {
    let all: Vec<_> = getifaddrs().map(Iterator::collect).unwrap_or_default();
    let mac_of = |entry: &ifaddrs::InterfaceAddress| {
        let mac = entry.address.as_ref()?.as_link_addr()?.addr()?;
        Some((entry.interface_name.clone(), mac))
    };
    let macs: HashMap<_, _> = all.iter().filter_map(mac_of).collect();
    let running = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let up = all.into_iter().filter(|entry| entry.flags.contains(running));
    up.filter_map(|entry| {
        let (address, scope_id) = ip(entry.address.as_ref()?)?;
        let unspecified = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Some(InterfaceAddress {
            address,
            netmask: entry
                .netmask
                .as_ref()
                .and_then(ip)
                .map_or(unspecified, |(mask, _)| mask),
            mac: macs.get(&entry.interface_name).copied().unwrap_or_default(),
            is_internal: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
            scope_id,
            name: entry.interface_name,
        })
    })
    .collect()
}

/// The IP address in a socket address, with its zone.
fn ip(address: &SockaddrStorage) -> Option<(IpAddr, Option<u32>)> {
    if let Some(address) = address.as_sockaddr_in() {
        return Some((address.ip().into(), None));
    }
    address
        .as_sockaddr_in6()
        .map(|address| (address.ip().into(), Some(address.scope_id())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_internal() {
        let addresses = interface_addresses();
        for address in &addresses {
            assert_eq!(address.is_internal, address.address.is_loopback(), "{address:?}");
            assert_eq!(address.scope_id.is_some(), address.address.is_ipv6());
        }
        if let Some(loopback) = addresses.iter().find(|address| address.address == Ipv4Addr::LOCALHOST) {
            assert_eq!(
                (loopback.netmask, loopback.mac_text().as_str()),
                ([255, 0, 0, 0].into(), "00:00:00:00:00:00")
            );
        } else {
            eprintln!("SKIPPED: no loopback interface");
        }
    }
}
