//! Fields older than RFC 9213 that are for a reverse proxy alone, each with a syntax of its own:
//! Surrogate-Control (Edge Architecture Specification, §2) and X-Accel-Expires of nginx.
//!
//! One that the rules list among the targeted fields is read in place of Cache-Control and
//! Expires. Unlike the fields of RFC 9213, one that was heeded is not passed on to clients.

use crate::directives::{Argument, Directive, ResponseDirectives, directive};
use crate::explain::CACHE_NAME;
use crate::fields::Fields;
use crate::rules::Rules;
use crate::syntax::{members, parameters, trim};
use crate::units::{DeltaSeconds, Timestamp};

const SURROGATE_CONTROL: &str = "Surrogate-Control";
const X_ACCEL_EXPIRES: &str = "X-Accel-Expires";

/// A field with a syntax of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `max-age=60+10, no-store;other`
    SurrogateControl,
    /// `60`, `@1795392000` or `0`
    AccelExpires,
}

impl Dialect {
    /// The dialect of the field of that name; `None` for fields of RFC 9213.
    pub(crate) fn of(name: &str) -> Option<Dialect> {
        let all = [Dialect::SurrogateControl, Dialect::AccelExpires];
        all.into_iter().find(|dialect| dialect.field().eq_ignore_ascii_case(name))
    }

    /// The name of the field.
    pub(crate) const fn field(self) -> &'static str {
        match self {
            Dialect::SurrogateControl => SURROGATE_CONTROL,
            Dialect::AccelExpires => X_ACCEL_EXPIRES,
        }
    }

    /// The directives of the field; `None` when it says nothing to us.
    pub(crate) fn read(self, response: &Fields) -> Option<ResponseDirectives> {
        let mut directives = match self {
            Dialect::SurrogateControl => surrogate_control(response),
            Dialect::AccelExpires => accel_expires(response),
        }?;
        directives.targeted = true;
        directives.dialect = Some(self);
        Some(directives)
    }
}

/// Tells the origin that Surrogate-Control is understood here, if it is.
pub fn announce(request: &mut Fields, rules: &Rules) {
    const CAPABILITY: &str = "Surrogate-Capability";
    if !rules.targeted.iter().any(|name| Dialect::of(name) == Some(Dialect::SurrogateControl)) {
        return;
    }
    let mut value = Vec::new();
    for earlier in request.all(CAPABILITY).filter(|value| !trim(value).is_empty()) {
        value.extend_from_slice(earlier);
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(format!("{CACHE_NAME}=\"Surrogate/1.0\"").as_bytes());
    request.set(CAPABILITY, &value);
}

/// Removes the field of a response that was for us alone, if it was heeded. Judge the response
/// before.
pub fn strip_heeded(response: &mut Fields, rules: &Rules) {
    if let Some(dialect) = ResponseDirectives::of(response, rules).dialect {
        response.remove(dialect.field());
    }
}

/// Reads Surrogate-Control. What is said to us by name replaces what is said to all; what is said
/// to others does not count. Directives that are not about storing are left to whom they concern.
fn surrogate_control(response: &Fields) -> Option<ResponseDirectives> {
    let (mut to_us, mut to_all) = (None, None);
    for member in response.all(SURROGATE_CONTROL).flat_map(members) {
        let mut parts = parameters(member);
        let Some(directive) = parts.next().and_then(directive) else { continue };
        let mut names = parts.filter(|name| !name.is_empty()).peekable();
        let is_for_all = names.peek().is_none();
        if is_for_all {
            add_surrogate(&mut to_all, directive);
        } else if names.any(|name| name.eq_ignore_ascii_case(CACHE_NAME.as_bytes())) {
            add_surrogate(&mut to_us, directive);
        }
    }
    to_us.or(to_all)
}

fn add_surrogate(said: &mut Option<ResponseDirectives>, directive: Directive<'_>) {
    let known = ["max-age", "no-store", "no-store-remote"];
    if !known.iter().any(|name| directive.is(name)) {
        return;
    }
    let said = said.get_or_insert_default();
    let Some((lifetime, grace)) = lifetime_and_grace(directive) else {
        // Whether we are the remote one is not known here, so that we are is assumed.
        said.no_store |= !directive.is("max-age");
        said.add(directive);
        return;
    };
    said.add(Directive { name: b"max-age", argument: Argument::Token(lifetime) });
    for name in [&b"stale-while-revalidate"[..], b"stale-if-error"] {
        said.add(Directive { name, argument: Argument::Token(grace) });
    }
}

/// Both numbers of `max-age=60+10`.
fn lifetime_and_grace(directive: Directive<'_>) -> Option<(&[u8], &[u8])> {
    let Argument::Token(argument) = directive.argument else { return None };
    let plus = argument.iter().position(|&b| b == b'+').filter(|_| directive.is("max-age"))?;
    let (lifetime, grace) = (&argument[..plus], &argument[plus + 1..]);
    let are_numbers = [lifetime, grace].iter().all(|n| DeltaSeconds::parse(n).is_some());
    are_numbers.then_some((lifetime, grace))
}

/// Reads X-Accel-Expires: the first valid line, but `0` wherever it stands.
fn accel_expires(response: &Fields) -> Option<ResponseDirectives> {
    let lines = response.all(X_ACCEL_EXPIRES).map(trim);
    let mut valid = lines.filter_map(accel_line);
    let first = valid.next()?;
    if first.no_store {
        return Some(first);
    }
    valid.find(|line| line.no_store).or(Some(first))
}

/// Reads one line; `None` when it is not of the syntax.
fn accel_line(line: &[u8]) -> Option<ResponseDirectives> {
    let instant = line.strip_prefix(b"@");
    let seconds = DeltaSeconds::parse(instant.unwrap_or(line))?;
    let mut said = ResponseDirectives::default();
    said.no_store = seconds == DeltaSeconds::ZERO;
    match instant {
        Some(digits) => said.expires = Some(epoch(digits)),
        None => said.max_age = Some(seconds),
    }
    Some(said)
}

/// The instant so many seconds after the Unix epoch; the digits are known to be digits.
fn epoch(digits: &[u8]) -> Timestamp {
    let add = |secs: i64, digit: &u8| secs.saturating_mul(10).saturating_add((digit - b'0').into());
    Timestamp::from_secs(digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests;
