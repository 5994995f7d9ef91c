//! What `purge` was told to purge.

use std::fmt::Display;

use proxy::purge::{Host, Name, Purge as What, PurgeError, Url};

use super::fault::{Fault, Source, example_of};
use super::raw::RawPurge;

/// Exactly one thing is named; a group has a host with it.
pub(super) fn what(raw: &RawPurge) -> Result<What, Fault> {
    let named = [
        ("--url", raw.url.is_some()),
        ("--prefix", raw.prefix.is_some()),
        ("--host", raw.host.is_some() && raw.group.is_none()),
        ("--tag", raw.tag.is_some()),
        ("--group", raw.group.is_some()),
        ("--all", raw.all),
    ];
    let mut named = named.iter().filter(|(_, is_given)| *is_given).map(|(option, _)| *option);
    if let (Some(one), Some(other)) = (named.next(), named.next()) {
        return Err(Fault::new(format!("{one} and {other} exclude each other; give one of them")));
    }
    let host = raw.host.as_deref().map(|text| checked("--host", text, Host::parse)).transpose()?;
    if let Some(url) = &raw.url {
        return checked("--url", url, Url::parse).map(What::Url);
    }
    if let Some(url) = &raw.prefix {
        return checked("--prefix", url, Url::parse).map(What::Prefix);
    }
    if let Some(name) = &raw.tag {
        return checked("--tag", name, Name::parse).map(What::Tag);
    }
    match (&raw.group, host, raw.all) {
        (Some(name), Some(host), _) => {
            Ok(What::Group { name: checked("--group", name, Name::parse)?, host })
        }
        (Some(_), None, _) => Err(Fault::new(
            "--group: its host is missing; groups are of a host, give it with --host a.example",
        )),
        (None, Some(host), _) => Ok(What::Host(host)),
        (None, None, true) => Ok(What::All),
        (None, None, false) => Err(Fault::new(
            "purge: nothing is named; give --url, --prefix, --host, --tag, --group or --all",
        )),
    }
}

fn checked<T>(
    option: &str,
    text: &str,
    parse: impl Fn(&str) -> Result<T, PurgeError>,
) -> Result<T, Fault> {
    let fault = |why: &dyn Display| {
        let fix = format!("write it like {}", example_of(option).unwrap_or_default());
        Fault::of_value(option, Source::CommandLine, text.as_ref(), why, fix)
    };
    parse(text).map_err(|why| fault(&why))
}
