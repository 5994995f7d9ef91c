//! The options about who clients are.

use std::net::IpAddr;

use clap::Args;
use ipnet::{IpNet, Ipv4Net};
use policy::forwarded::{Trust, WayField};
use proxy::{Clients, Told};

use super::check::{Given, Texts};
use super::fault::Fault;

/// What stands before an IPv4 address that is written as one of IPv6.
const MAPPED_BITS: u8 = 96;

/// As they are written.
#[derive(Debug, Default, Args)]
pub(crate) struct RawClients {
    /// Believe what these proxies in front say of their clients: addresses or networks, with commas
    /// between [default: none]
    #[arg(long, value_name = "LIST")]
    pub(crate) trusted_proxy: Option<String>,
    /// Where they say it: x-forwarded-for or forwarded [default: x-forwarded-for]
    #[arg(long, value_name = "FIELD")]
    pub(crate) trusted_field: Option<String>,
    /// What the origin is told of clients: x-forwarded, forwarded, both or off [default: x-forwarded]
    #[arg(long, value_name = "WHAT")]
    pub(crate) forwarded: Option<String>,
    /// Take only connections that begin with a PROXY protocol header, version 1 or 2; with
    /// --trusted-proxy only from those
    #[arg(long)]
    pub(crate) proxy_protocol: bool,
}

/// Checks them together.
pub(super) fn check(raw: RawClients, texts: &Texts<'_>) -> Result<Clients, Fault> {
    let proxies = texts.of("--trusted-proxy", raw.trusted_proxy);
    let field = texts.of("--trusted-field", raw.trusted_field);
    let told = texts.of("--forwarded", raw.forwarded);
    let proxy_protocol = texts.flag("--proxy-protocol", raw.proxy_protocol)?.is_some();
    if let (Some(field), None) = (&field, &proxies) {
        let fix = "name them with --trusted-proxy LIST, or leave it out";
        return Err(field.fault("no proxy is trusted", fix));
    }
    let trust = Trust {
        proxies: proxies.map(|given| networks(&given)).transpose()?.unwrap_or_default(),
        field: field.map(|given| way_field(&given)).transpose()?.unwrap_or_default(),
    };
    let told = told.map(|given| what(&given)).transpose()?.unwrap_or_default();
    Ok(Clients { trust, told, proxy_protocol })
}

fn networks(given: &Given) -> Result<Vec<IpNet>, Fault> {
    let members = given.text()?.split(',').map(str::trim);
    members.map(|member| network(member).map_err(|why| given.unlike_example(why))).collect()
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = address.or_else(|_| text.parse::<IpNet>());
    let network = network.map_err(|_| format!("{text:?} is no address and no network"))?;
    if network == network.trunc() {
        return Ok(plain(network));
    }
    Err(format!("{text} has bits behind its prefix: the network is {}", network.trunc()))
}

/// A network of IPv4 addresses that is written as one of IPv6 (`::ffff:10.0.0.0/104`): clients that
/// come by IPv4 are known by addresses of IPv4 alone.
fn plain(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let address = mapped.addr().to_ipv4_mapped();
    let length = mapped.prefix_len().checked_sub(MAPPED_BITS);
    let plain =
        address.zip(length).and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    plain.map_or(network, IpNet::V4)
}

fn way_field(given: &Given) -> Result<WayField, Fault> {
    match given.text()?.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => Ok(WayField::XForwardedFor),
        "forwarded" => Ok(WayField::Forwarded),
        _ => Err(given.fault("it is none of the choices", "give x-forwarded-for or forwarded")),
    }
}

fn what(given: &Given) -> Result<Told, Fault> {
    let choices = [
        ("x-forwarded", Told::XForwarded),
        ("forwarded", Told::Forwarded),
        ("both", Told::Both),
        ("off", Told::Nothing),
    ];
    given.word(&choices, "it is none of the choices")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;

    fn clients(more: &[&str], environment: &[(&str, &str)]) -> Result<Clients, String> {
        let all = [&["--port", "1", "--origin", "http://a"], more].concat();
        let args: Vec<_> = all.iter().map(std::ffi::OsString::from).collect();
        let find =
            |name: &str| Some(environment.iter().find(|(known, _)| *known == name)?.1.into());
        match crate::cli::read(&args, &find) {
            Ok(Command::Serve(serve)) => Ok(serve.clients),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.to_string()),
        }
    }

    #[test]
    fn nobody_is_trusted_unless_named() {
        assert_eq!(clients(&[], &[]), Ok(Clients::default()));
        let proxies =
            |list: &[&str]| list.iter().map(|one| one.parse().unwrap()).collect::<Vec<IpNet>>();
        let given = clients(&["--trusted-proxy", "10.0.0.0/8, 192.0.2.7,::1"], &[]).unwrap();
        let trust = Trust {
            proxies: proxies(&["10.0.0.0/8", "192.0.2.7/32", "::1/128"]),
            ..Trust::default()
        };
        assert_eq!(given, Clients { trust, ..Clients::default() });
        // An address of IPv4 may be written as one of IPv6.
        let mapped = "::ffff:10.0.0.0/104,::ffff:192.0.2.7, ::/0";
        let given = clients(&["--trusted-proxy", mapped], &[]).unwrap();
        assert_eq!(given.trust.proxies, proxies(&["10.0.0.0/8", "192.0.2.7/32", "::/0"]));
        let variables = [
            ("CACHING_PROXY_TRUSTED_PROXY", "fd00::/8"),
            ("CACHING_PROXY_TRUSTED_FIELD", "Forwarded"),
            ("CACHING_PROXY_FORWARDED", "both"),
            ("CACHING_PROXY_PROXY_PROTOCOL", "1"),
        ];
        let trust = Trust { proxies: proxies(&["fd00::/8"]), field: WayField::Forwarded };
        let expected = Clients { trust, told: Told::Both, proxy_protocol: true };
        assert_eq!(clients(&[], &variables), Ok(expected));
        assert_eq!(clients(&["--forwarded", "off"], &[]).unwrap().told, Told::Nothing);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (args, fault) in [
            (&["--trusted-proxy", "lb.example"][..], "\"lb.example\" is no address and no network"),
            (&["--trusted-proxy", ""], "\"\" is no address and no network"),
            (&["--trusted-proxy", "10.0.0.0/33"], "\"10.0.0.0/33\" is no address and no network"),
            (&["--trusted-proxy", "10.0.0.1,"], "\"\" is no address and no network"),
            (&["--trusted-proxy", "10.1.2.3/8"], "the network is 10.0.0.0/8"),
            (&["--trusted-field", "forwarded"], "no proxy is trusted"),
            (
                &["--trusted-proxy", "::1", "--trusted-field", "via"],
                "give x-forwarded-for or forwarded",
            ),
            (&["--forwarded", "yes"], "give x-forwarded, forwarded, both or off"),
        ] {
            let told = clients(args, &[]).unwrap_err();
            assert!(told.contains(fault) && !told.contains('\n'), "{args:?}: {told}");
        }
    }
}
