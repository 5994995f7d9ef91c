//! The terms on which a response is stored: all that a later request needs to know of its head.
//!
//! They are digested once, at admission, kept beside the stored head, and read on every hit.

use std::time::Duration;

use crate::dialect::Dialect;
use crate::lifetime::{Explicit, Source};
use crate::units::{Age, DeltaSeconds, Lifetime, Timestamp};
use crate::vary::Vary;
use crate::wire::{Reader, put_number, put_signed};

/// The first byte of the encoding. A change of the encoding changes it, and old terms are then
/// refused, never misread.
const VERSION: u8 = 2;

/// The terms of a stored response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact of the response")]
pub struct Terms {
    pub(crate) response_time: Timestamp,
    pub(crate) initial_age: Age,
    pub(crate) lifetime: Lifetime,
    pub(crate) source: Source,
    /// RFC 9111 §5.2.2.4, in its unqualified form.
    pub(crate) no_cache: bool,
    /// RFC 9111 §5.2.2.2 or §5.2.2.8.
    pub(crate) must_revalidate: bool,
    /// RFC 9111 §5.2.2.10 was present.
    pub(crate) s_maxage: bool,
    /// RFC 8246.
    pub(crate) immutable: bool,
    /// RFC 9111 §3.5: it may answer authorised requests without further ado.
    pub(crate) permits_authorized: bool,
    pub(crate) has_validator: bool,
    pub(crate) stale_while_revalidate: Option<DeltaSeconds>,
    pub(crate) stale_if_error: Option<DeltaSeconds>,
    /// The field for us alone that gave these terms.
    pub(crate) dialect: Option<Dialect>,
    pub(crate) vary: Vary,
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
        self.has_validator
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
        self.initial_age.plus(now.saturating_since(self.response_time))
    }

    /// What is left of its lifetime, in whole seconds; negative when it is stale.
    pub fn ttl(&self, now: Timestamp) -> i64 {
        self.lifetime.ttl(self.age(now))
    }

    /// May it be used for other requests than the one it answers, without asking the origin?
    pub fn is_shareable(&self, now: Timestamp) -> bool {
        !self.no_cache && self.is_fresh(now)
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
        out.push(self.flags());
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
        let flags = reader.byte()?;
        if flags >= 1 << 6 {
            return None;
        }
        let flag = |bit: u8| flags >> bit & 1 == 1;
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
            no_cache: flag(0),
            must_revalidate: flag(1),
            s_maxage: flag(2),
            immutable: flag(3),
            permits_authorized: flag(4),
            has_validator: flag(5),
            stale_while_revalidate,
            stale_if_error,
            dialect,
            vary,
        };
        Some((terms, rest))
    }

    fn flags(&self) -> u8 {
        let bits = [
            self.no_cache,
            self.must_revalidate,
            self.s_maxage,
            self.immutable,
            self.permits_authorized,
            self.has_validator,
        ];
        bits.iter().rev().fold(0, |flags, &bit| flags << 1 | u8::from(bit))
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
