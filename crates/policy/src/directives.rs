//! Cache-Control (RFC 9111 §5.2) of a response, digested into one struct.
//!
//! Where directives repeat or contradict each other the most restrictive reading wins. A targeted
//! field (RFC 9213) that applies is read instead of Cache-Control.

use crate::dialect::Dialect;
use crate::fields::Fields;
use crate::rules::Rules;
use crate::syntax::{is_tchar, is_token, members};
use crate::targeted;
use crate::units::{DeltaSeconds, Timestamp};

/// One directive: its name as it came and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Directive<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) argument: Argument<'a>,
}

/// What follows the name of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    Absent,
    Token(&'a [u8]),
    /// The inside of a quoted string, escapes left in.
    Quoted(&'a [u8]),
    /// Not of the grammar: all that follows the name.
    Invalid(&'a [u8]),
}

impl Directive<'_> {
    /// Does the directive have this (lower-case) name?
    pub(crate) fn is(&self, name: &str) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2
        //# Cache directives are identified by a token, to be compared case-insensitively, and have
        //# an optional argument that can use both token and quoted-string syntax.
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The argument as seconds; `None` when there is none or it is not a number.
    pub(crate) fn seconds(&self) -> Option<DeltaSeconds> {
        match self.argument {
            Argument::Token(digits) | Argument::Quoted(digits) => DeltaSeconds::parse(digits),
            Argument::Absent | Argument::Invalid(_) => None,
        }
    }

    /// Does the directive stand alone, as those without a defined argument must?
    fn is_bare(&self) -> bool {
        self.argument == Argument::Absent
    }
}

/// The directives of one Cache-Control line. A member that is no directive has no name.
pub(crate) fn parse(value: &[u8]) -> impl Iterator<Item = Directive<'_>> {
    members(value).filter_map(directive)
}

/// One member of a list of directives, if it is one.
pub(crate) fn directive(member: &[u8]) -> Option<Directive<'_>> {
    let end = member.iter().position(|&b| !is_tchar(b)).unwrap_or(member.len());
    let (name, rest) = member.split_at(end);
    let argument = match rest {
        [] if name.is_empty() => return None,
        [] => Argument::Absent,
        [b'=', token @ ..] if is_token(token) => Argument::Token(token),
        [b'=', b'"', inside @ .., b'"'] if closes_only_at_end(inside) => Argument::Quoted(inside),
        _ => Argument::Invalid(rest),
    };
    Some(Directive { name, argument })
}

/// Is there no unescaped quote in the inside of a quoted string, and no escape left open?
pub(crate) fn closes_only_at_end(inside: &[u8]) -> bool {
    let mut escaped = false;
    for &byte in inside {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return false,
            _ => {}
        }
    }
    !escaped
}

/// How much of a response a `no-cache` or `private` is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The directive is absent.
    #[default]
    Nothing,
    /// Only the fields it names.
    NamedFields,
    /// The whole response.
    Everything,
}

/// The cache directives of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one directive, present or absent")]
pub struct ResponseDirectives {
    /// §5.2.2.1; zero when it is not a number.
    pub max_age: Option<DeltaSeconds>,
    /// §5.2.2.10; zero when it is not a number.
    pub s_maxage: Option<DeltaSeconds>,
    /// RFC 5861 §3; zero when it is not a number.
    pub stale_while_revalidate: Option<DeltaSeconds>,
    /// RFC 5861 §4; zero when it is not a number.
    pub stale_if_error: Option<DeltaSeconds>,
    /// §5.2.2.4.
    pub no_cache: Scope,
    /// §5.2.2.7.
    pub private: Scope,
    /// §5.2.2.5.
    pub no_store: bool,
    /// §5.2.2.9.
    pub public: bool,
    /// §5.2.2.2.
    pub must_revalidate: bool,
    /// §5.2.2.8.
    pub proxy_revalidate: bool,
    /// §5.2.2.3.
    pub must_understand: bool,
    /// RFC 8246.
    pub immutable: bool,
    /// They come from a targeted field, so Cache-Control and Expires do not count (RFC 9213 §2.2).
    pub targeted: bool,
    /// They come from a field that is for us alone.
    pub dialect: Option<Dialect>,
    /// When the response becomes stale, where a field for us alone says so.
    pub expires: Option<Timestamp>,
    /// The fields that a `no-cache` or `private` names.
    withheld: Vec<Box<[u8]>>,
}

impl ResponseDirectives {
    /// The directives that apply to a response under these rules.
    pub fn of(response: &Fields, rules: &Rules) -> ResponseDirectives {
        //= https://www.rfc-editor.org/rfc/rfc9213#section-2.2
        //# the cache MUST select the first (in target-list order) field with a valid, non-empty
        //# value and use its value to determine the caching policy for the response, and it MUST
        //# ignore the Cache-Control and Expires header fields in that response, unless no valid,
        //# non-empty value is available from the listed header fields.
        for name in &rules.targeted {
            let read = match Dialect::of(name) {
                Some(dialect) => dialect.read(response),
                None => targeted::read(response, name),
            };
            if let Some(directives) = read {
                return directives;
            }
        }
        let mut directives = ResponseDirectives::default();
        for line in response.all("cache-control") {
            parse(line).for_each(|directive| directives.add(directive));
        }
        directives
    }

    /// Is this field one that must not be stored, or not reused without validation?
    pub fn withholds(&self, name: &[u8]) -> bool {
        self.withheld.iter().any(|withheld| withheld.eq_ignore_ascii_case(name))
    }

    /// Does the response permit a shared cache to reuse it although its request had Authorization?
    pub fn permits_authorized(&self) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-3.5
        //# In this specification, the following response directives have such an effect:
        //# must-revalidate (Section 5.2.2.2), public (Section 5.2.2.9), and s-maxage (Section
        //# 5.2.2.10).
        self.must_revalidate || self.public || self.s_maxage.is_some()
    }

    pub(crate) fn add(&mut self, directive: Directive<'_>) {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2
        //# A cache MUST obey the Cache-Control directives defined in this section.
        if let Argument::Invalid(rest) = directive.argument {
            self.add_prohibitions(rest);
        }
        if directive.is("max-age") {
            shorten(&mut self.max_age, directive);
        } else if directive.is("s-maxage") {
            shorten(&mut self.s_maxage, directive);
        } else if directive.is("stale-while-revalidate") {
            shorten(&mut self.stale_while_revalidate, directive);
        } else if directive.is("stale-if-error") {
            shorten(&mut self.stale_if_error, directive);
        } else if directive.is("no-cache") {
            self.no_cache = self.no_cache.max(self.scope(directive));
        } else if directive.is("private") {
            self.private = self.private.max(self.scope(directive));
        } else {
            self.add_flag(directive);
        }
    }

    /// Takes the prohibitions from what is not of the grammar. Someone who forgets to close a quote,
    /// or separates directives by anything but a comma, means them nevertheless.
    fn add_prohibitions(&mut self, text: &[u8]) {
        const NAMES: [&[u8]; 5] =
            [b"no-store", b"private", b"no-cache", b"must-revalidate", b"proxy-revalidate"];
        for word in text.split(|&byte| !is_tchar(byte)) {
            if let Some(name) = NAMES.iter().find(|name| word.eq_ignore_ascii_case(name)) {
                self.add(Directive { name, argument: Argument::Absent });
            }
        }
    }

    /// A prohibition counts even with an argument that it must not have; a permission does not.
    fn add_flag(&mut self, directive: Directive<'_>) {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2
        //# For the cache directives defined below, no argument is defined (nor allowed) unless
        //# stated otherwise.
        self.no_store |= directive.is("no-store");
        self.must_revalidate |= directive.is("must-revalidate");
        self.proxy_revalidate |= directive.is("proxy-revalidate");
        self.public |= directive.is("public") && directive.is_bare();
        self.must_understand |= directive.is("must-understand") && directive.is_bare();
        //= https://www.rfc-editor.org/rfc/rfc8246#section-2
        //# The immutable extension takes no arguments. If any arguments are present, they have no
        //# meaning and MUST be ignored.
        self.immutable |= directive.is("immutable");
        //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.3
        //# A cache MUST ignore unrecognized cache directives.
    }

    /// Notes the fields named, and says whether the directive is about them or about everything.
    fn scope(&mut self, directive: Directive<'_>) -> Scope {
        let (Argument::Token(names) | Argument::Quoted(names)) = directive.argument else {
            return Scope::Everything;
        };
        // A list of names that cannot be read in full may name more than we would withhold.
        if members(names).next().is_none() || !members(names).all(is_token) {
            return Scope::Everything;
        }
        self.withheld.extend(members(names).map(Into::into));
        Scope::NamedFields
    }
}

/// Of several values the shortest counts, and one that is no number counts as none at all.
fn shorten(seconds: &mut Option<DeltaSeconds>, directive: Directive<'_>) {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1
    //# Caches are encouraged to consider responses that have invalid freshness information (e.g., a
    //# max-age directive with non-integer content) to be stale.
    let value = directive.seconds().unwrap_or(DeltaSeconds::ZERO);
    *seconds = Some(seconds.map_or(value, |earlier| earlier.min(value)));
}

#[cfg(test)]
mod tests;
