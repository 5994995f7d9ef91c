//! The terms on which a response is stored: all that a later request needs to know of its head.
//!
//! They are digested once, at admission, kept beside the stored head, and read on every hit.

use std::time::Duration;

use crate::dialect::Dialect;
use crate::lifetime::{Explicit, Source};
use crate::rules::Rules;
use crate::units::{Age, DeltaSeconds, Lifetime, Timestamp};
use crate::vary::Vary;
use crate::wire::{Reader, put_number, put_signed};

/// The first byte of the encoding. A change of the encoding changes it, and old terms are then
/// refused, never misread.
const VERSION: u8 = 2;
/// How far a response may be ahead of the clock, which is set by a little now and then.
const AHEAD: Duration = Duration::from_mins(1);

/// The terms of a stored response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub(crate) response_time: Timestamp,
    pub(crate) initial_age: Age,
    pub(crate) lifetime: Lifetime,
    pub(crate) source: Source,
    pub(crate) facts: Facts,
    pub(crate) stale_while_revalidate: Option<DeltaSeconds>,
    pub(crate) stale_if_error: Option<DeltaSeconds>,
    /// The field for us alone that gave these terms.
    pub(crate) dialect: Option<Dialect>,
    pub(crate) vary: Vary,
}

// They stand beside every object in memory.
const _: () = assert!(size_of::<Terms>() <= 40);

/// What is so or not, each for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// RFC 9111 §5.2.2.4, in its unqualified form.
    NoCache,
    /// RFC 9111 §5.2.2.2 or §5.2.2.8.
    MustRevalidate,
    /// RFC 9111 §5.2.2.10 was present.
    SMaxage,
    /// RFC 8246.
    Immutable,
    /// RFC 9111 §3.5: it may answer authorised requests without further ado.
    PermitsAuthorized,
    HasValidator,
    /// A Set-Cookie field is stored with it.
    SetCookie,
}

/// Those facts that are so, in a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts(u8);

impl Facts {
    pub(crate) fn of(facts: [(Fact, bool); 7]) -> Facts {
        Facts(facts.into_iter().fold(0, |bits, (fact, is_so)| bits | u8::from(is_so) << fact as u8))
    }

    /// As a byte of the encoding; `None` if it says more than there is.
    fn decode(bits: u8) -> Option<Facts> {
        (bits < 1 << 7).then_some(Facts(bits))
    }
}

impl Terms {
    /// When the response arrived.
    pub fn response_time(&self) -> Timestamp {
        self.response_time
    }

    /// How old it was then.
    pub fn initial_age(&self) -> Age {
        self.initial_age
    }

    /// How long it may be used.
    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// Who gave it that lifetime.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Can it be validated with a conditional request?
    pub fn has_validator(&self) -> bool {
        self.is(Fact::HasValidator)
    }

    /// May it be used at all under these rules? Those under which it was stored, by another process,
    /// may have been others.
    pub fn is_permitted(&self, rules: &Rules) -> bool {
        !self.is(Fact::SetCookie) || rules.stores_cookies()
    }

    pub(crate) fn is(&self, fact: Fact) -> bool {
        self.facts.0 >> fact as u8 & 1 == 1
    }

    /// The request fields that selected it.
    pub fn vary(&self) -> &Vary {
        &self.vary
    }

    /// Is this field of the stored response for us alone, and not for a client?
    pub fn hides(&self, name: &[u8]) -> bool {
        self.dialect.is_some_and(|d| name.eq_ignore_ascii_case(d.field().as_bytes()))
    }

    /// The discriminator of the variant; empty when there is no Vary.
    pub fn variant(&self) -> &[u8] {
        self.vary.as_bytes()
    }

    /// Its age now.
    pub fn age(&self, now: Timestamp) -> Age {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3
        //# resident_time = now - response_time;
        //# current_age = corrected_initial_age + resident_time;
        if self.response_time.saturating_since(now) > AHEAD {
            // The clock was set back since. How long it has been here nobody knows: it is stale.
            return self.initial_age.max(Age::new(self.lifetime.get()));
        }
        self.initial_age.plus(now.saturating_since(self.response_time))
    }

    /// What is left of its lifetime, in whole seconds; negative when it is stale.
    pub fn ttl(&self, now: Timestamp) -> i64 {
        self.lifetime.ttl(self.age(now))
    }

    /// May it be used for other requests than the one it answers, without asking the origin?
    pub fn is_shareable(&self, now: Timestamp) -> bool {
        !self.is(Fact::NoCache) && self.is_fresh(now)
    }

    /// Is it fresh?
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.lifetime.left_after(self.age(now)).is_some()
    }

    /// The same for a response that is stale from now on, whatever its lifetime was.
    #[must_use]
    pub fn outdated(mut self, now: Timestamp) -> Terms {
        let age = Lifetime::new(self.age(now).get());
        self.lifetime = self.lifetime.min(age);
        self
    }

    /// The same for a response that is as old as that of `other`, whose content it has.
    #[must_use]
    pub fn aged_as(self, other: &Terms) -> Terms {
        let &Terms { response_time, initial_age, .. } = other;
        Terms { response_time, initial_age, ..self }
    }

    /// Appends the bytes that [`Terms::decode`] reads.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.push(self.facts.0);
        out.push(code(self.source));
        put_signed(out, self.response_time.as_millis());
        put_number(out, millis(self.initial_age.get()));
        put_number(out, millis(self.lifetime.get()));
        put_seconds(out, self.stale_while_revalidate);
        put_seconds(out, self.stale_if_error);
        out.push(dialect_code(self.dialect));
        self.vary.encode(out);
    }

    /// Reads what [`Terms::encode`] wrote and returns the bytes behind it; `None` when it is of
    /// another version or not well-formed.
    pub fn decode(bytes: &[u8]) -> Option<(Terms, &[u8])> {
        let mut reader = Reader(bytes);
        if reader.byte()? != VERSION {
            return None;
        }
        let facts = Facts::decode(reader.byte()?)?;
        let source = source(reader.byte()?)?;
        let response_time = Timestamp::from_millis(reader.signed()?);
        let initial_age = Age::new(Duration::from_millis(reader.number()?));
        let lifetime = Lifetime::new(Duration::from_millis(reader.number()?));
        let stale_while_revalidate = seconds(&mut reader)?;
        let stale_if_error = seconds(&mut reader)?;
        let dialect = dialect(reader.byte()?)?;
        let (vary, rest) = Vary::decode(reader.0)?;
        let terms = Terms {
            response_time,
            initial_age,
            lifetime,
            source,
            facts,
            stale_while_revalidate,
            stale_if_error,
            dialect,
            vary,
        };
        Some((terms, rest))
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Nothing as 0, `n` seconds as `n + 1`.
fn put_seconds(out: &mut Vec<u8>, seconds: Option<DeltaSeconds>) {
    put_number(out, seconds.map_or(0, |secs| u64::from(secs.get()) + 1));
}

#[expect(clippy::option_option, reason = "outer: readable or not; inner: present or not")]
fn seconds(reader: &mut Reader<'_>) -> Option<Option<DeltaSeconds>> {
    match reader.number()? {
        0 => Some(None),
        more => Some(Some(DeltaSeconds::new(u32::try_from(more - 1).ok()?))),
    }
}

const fn code(source: Source) -> u8 {
    match source {
        Source::Absent => 0,
        Source::Explicit(Explicit::SMaxage) => 1,
        Source::Explicit(Explicit::MaxAge) => 2,
        Source::Explicit(Explicit::Expires) => 3,
        Source::Heuristic => 4,
        Source::DefaultTtl => 5,
        Source::Forced => 6,
    }
}

const fn source(code: u8) -> Option<Source> {
    Some(match code {
        0 => Source::Absent,
        1 => Source::Explicit(Explicit::SMaxage),
        2 => Source::Explicit(Explicit::MaxAge),
        3 => Source::Explicit(Explicit::Expires),
        4 => Source::Heuristic,
        5 => Source::DefaultTtl,
        6 => Source::Forced,
        _ => return None,
    })
}

const fn dialect_code(dialect: Option<Dialect>) -> u8 {
    match dialect {
        None => 0,
        Some(Dialect::SurrogateControl) => 1,
        Some(Dialect::AccelExpires) => 2,
    }
}

#[expect(clippy::option_option, reason = "outer: readable or not; inner: present or not")]
const fn dialect(code: u8) -> Option<Option<Dialect>> {
    Some(match code {
        0 => None,
        1 => Some(Dialect::SurrogateControl),
        2 => Some(Dialect::AccelExpires),
        _ => return None,
    })
}
