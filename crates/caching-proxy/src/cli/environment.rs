//! The environment, read here and nowhere else.

use std::ffi::OsString;
use std::path::PathBuf;

/// Looks up a variable; tests give their own.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The process environment. An empty variable counts as one that is not set.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn process(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The variable that stands for an option: `CACHING_PROXY_CACHE_DIR` for `--cache-dir`.
pub(crate) fn variable_of(option: &str) -> String {
    let name = option.trim_start_matches('-').replace('-', "_");
    format!("CACHING_PROXY_{}", name.to_ascii_uppercase())
}

/// Where caches of this user lie: `$XDG_CACHE_HOME/caching-proxy`, else `~/.cache/caching-proxy`.
/// A relative `XDG_CACHE_HOME` is ignored, as the XDG base directory specification asks.
pub(crate) fn base_directory(environment: Lookup<'_>) -> Option<PathBuf> {
    let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(caches.join("caching-proxy"))
}

/// Whether the user and the terminal allow colours (<https://no-color.org>).
pub(crate) fn allows_colours(environment: Lookup<'_>) -> bool {
    environment("NO_COLOR").is_none() && environment("TERM").is_some_and(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and values.
    type Set<'a> = &'a [(&'a str, &'a str)];

    fn base(set: Set<'_>) -> Option<PathBuf> {
        let find = |name: &str| Some(set.iter().find(|(known, _)| *known == name)?.1.into());
        base_directory(&find)
    }

    #[test]
    fn the_cache_lies_where_xdg_says() {
        let table: [(Set<'_>, Option<&str>); 5] = [
            (&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")], Some("/c/caching-proxy")),
            (&[("HOME", "/h")], Some("/h/.cache/caching-proxy")),
            (&[("XDG_CACHE_HOME", "rel"), ("HOME", "/h")], Some("/h/.cache/caching-proxy")),
            (&[("HOME", "rel")], None),
            (&[], None),
        ];
        for (set, expected) in table {
            assert_eq!(base(set), expected.map(PathBuf::from), "{set:?}");
        }
    }

    #[test]
    fn colours_need_a_terminal_that_has_them_and_a_user_who_wants_them() {
        let table: [(Set<'_>, bool); 4] = [
            (&[("TERM", "xterm")], true),
            (&[("TERM", "xterm"), ("NO_COLOR", "1")], false),
            (&[("TERM", "dumb")], false),
            (&[], false),
        ];
        for (set, expected) in table {
            let find = |name: &str| Some(set.iter().find(|(known, _)| *known == name)?.1.into());
            assert_eq!(allows_colours(&find), expected, "{set:?}");
        }
    }

    #[test]
    fn every_option_has_its_variable() {
        assert_eq!(variable_of("--cache-dir"), "CACHING_PROXY_CACHE_DIR");
    }
}
