//! `caching-proxy demo`: a small origin and the proxy in front of it, so that MISS and HIT can be
//! seen without any server or network.

mod origin;
mod page;

pub(crate) use origin::start;

/// What to try, for the proxy's URL.
pub(crate) fn hints(url: &str) -> String {
    let lines = [
        ("/slow", "takes a second; again within 30 s it is a HIT"),
        ("/time", "changes every 5 s"),
        ("/news", "asked again after 2 s it is revalidated, not sent again"),
        ("/private", "for one user, so it is never stored"),
        ("/big", "a mebibyte"),
    ];
    let line = |(path, what): (&str, &str)| {
        let options = if path == "/big" { "-sSD - -o /dev/null" } else { "-i" };
        format!("\n  curl {options} {url}{path:<10} # {what}")
    };
    let lines: String = lines.map(line).concat();
    format!("try these, each twice (Ctrl-C ends):{lines}")
}
