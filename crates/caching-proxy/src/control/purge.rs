//! A purge on the wire: `{"command":"purge","url":"http://a/b","soft":true}`.

use proxy::purge::{Host, Name, Purge, PurgeError, Url};
use serde_json::{Value, json};

/// The members of the request.
pub(super) fn to_json(purge: &Purge, soft: bool) -> Value {
    let mut line = match purge {
        Purge::Url(url) => json!({ "url": url.to_string() }),
        Purge::Prefix(url) => json!({ "prefix": url.to_string() }),
        Purge::Host(host) => json!({ "host": host.to_string() }),
        Purge::Tag(name) => json!({ "tag": name.to_string() }),
        Purge::Group { name, host } => {
            json!({ "group": name.to_string(), "host": host.to_string() })
        }
        Purge::All => json!({ "all": true }),
    };
    line["soft"] = soft.into();
    line
}

/// Reads what [`to_json`] wrote; an error is told to whoever sent it.
pub(super) fn from_json(line: &Value) -> Result<(Purge, bool), String> {
    let text = |name: &str| line[name].as_str();
    let texts = ["url", "prefix", "host", "tag", "group"].map(text);
    let read = match (texts, line["all"].as_bool()) {
        ([Some(url), None, None, None, None], None) => Url::parse(url).map(Purge::Url),
        ([None, Some(url), None, None, None], None) => Url::parse(url).map(Purge::Prefix),
        ([None, None, Some(host), None, None], None) => Host::parse(host).map(Purge::Host),
        ([None, None, None, Some(name), None], None) => Name::parse(name).map(Purge::Tag),
        ([None, None, Some(host), None, Some(name)], None) => group(name, host),
        ([None, None, None, None, None], Some(true)) => Ok(Purge::All),
        _ => return Err("a purge has to name one thing".to_owned()),
    };
    let purge = read.map_err(|why| why.to_string())?;
    // One that is not understood must not do less than what was asked for.
    Ok((purge, line["soft"].as_bool().unwrap_or(false)))
}

fn group(name: &str, host: &str) -> Result<Purge, PurgeError> {
    Ok(Purge::Group { name: Name::parse(name)?, host: Host::parse(host)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purge_comes_back_as_it_was_sent() {
        let url = || Url::parse("http://A:81/x?y=%20\"").unwrap();
        let host = || Host::parse("a:81").unwrap();
        let name = || Name::parse("a \"b\"").unwrap();
        let all = [
            Purge::Url(url()),
            Purge::Prefix(url()),
            Purge::Host(host()),
            Purge::Tag(name()),
            Purge::Group { name: name(), host: host() },
            Purge::All,
        ];
        for purge in all {
            for soft in [false, true] {
                let line = to_json(&purge, soft);
                assert_eq!(from_json(&line), Ok((purge.clone(), soft)), "{line}");
            }
        }
    }

    #[test]
    fn what_names_nothing_or_too_much_purges_nothing() {
        let rows = [
            json!({}),
            json!({ "all": false }),
            json!({ "all": true, "tag": "a" }),
            json!({ "url": "http://a/", "host": "a" }),
            json!({ "group": "a" }),
            json!({ "tag": "" }),
            json!({ "tag": 1 }),
            json!({ "url": "a" }),
        ];
        for line in rows {
            assert!(from_json(&line).is_err(), "{line}");
        }
    }
}
