//! What the origin is asked for a request with a Range, or where only parts are stored.

use std::sync::Arc;

use policy::{Part, Verdict, strong};

use super::fetch::Conditions;
use super::lead::Lead;
use super::part_set::{Needed, PartSet};
use super::{Entry, Found, reuse};
use crate::origin::exchange::Response;

/// What the origin is asked.
pub(crate) enum Errand {
    /// What the client asks, as it asks it.
    AsItIs,
    /// The same, unless this is still current.
    Validate(Arc<Entry>),
    /// What these parts lack.
    Missing(Missing),
    /// The whole.
    Whole,
}

/// What stored parts lack for a request.
pub(crate) struct Missing {
    pub(crate) set: PartSet,
    pub(crate) part: Part,
    pub(crate) needed: Needed,
}

impl Errand {
    /// What is best asked.
    pub(crate) fn of(lead: &Lead) -> Errand {
        let Lead { request, wanted, .. } = lead;
        let as_asked = if wanted.asked.range { Errand::AsItIs } else { Errand::Whole };
        let parts = match &wanted.found {
            Found::Unusable(entry, _) if entry.meta().terms.has_validator() => {
                return Errand::Validate(Arc::clone(entry));
            }
            Found::Parts(parts, _) => PartSet::of(parts),
            _ => return as_asked,
        };
        let Some(set) = parts.into_iter().next() else { return as_asked };
        let needed = match set.needed(request) {
            // Whether the Range applies, the origin decides.
            Some(Needed::Whole(_)) if wanted.asked.range => return as_asked,
            Some(needed) => needed,
            None => return as_asked,
        };
        match set.gaps(&needed)[..] {
            [] if set.newest.meta().terms.has_validator() => Errand::Validate(set.newest),
            // Nothing stored is of any use: the origin knows best which part it sends.
            [gap] if needed.is_just(gap) => as_asked,
            [gap] if may_be_completed(lead, &set) => match Part::new(gap, set.complete) {
                Some(part) => Errand::Missing(Missing { set, part, needed }),
                None => as_asked,
            },
            _ => as_asked,
        }
    }

    /// The conditions of the request that the origin gets.
    pub(crate) fn conditions(&self) -> Conditions<'_> {
        match self {
            Errand::AsItIs | Errand::Whole => Conditions::AsTheClientHasThem,
            Errand::Validate(entry) => Conditions::Confirming(entry),
            Errand::Missing(Missing { set, part, .. }) => Conditions::Missing(*part, set.fields()),
        }
    }
}

/// Is it worth asking for what stored parts lack?
fn may_be_completed(lead: &Lead, set: &PartSet) -> bool {
    if strong::strong_validator(set.fields()).is_some() {
        return true;
    }
    // Without a strong validator only a whole response helps, which origins without ranges give.
    let shared = &lead.worker.shared;
    let terms = &set.newest.meta().terms;
    let (purged, now) = (reuse::purged(&set.newest), shared.clock.now());
    let verdict = policy::reuse(&lead.wanted.asked, terms, &shared.rules, purged, now);
    !lead.wanted.asked.range
        && matches!(verdict, Verdict::Fresh { .. })
        && !shared.uncombinable.contains(&lead.wanted.key)
}

impl Missing {
    /// Is this the missing part, and of the same representation?
    pub(crate) fn is_answered_by(&self, response: &Response) -> bool {
        let Response { head, content } = response;
        head.status == 206
            && Part::of(&head.fields) == Some(self.part)
            && self.set.includes(&head.fields, self.part)
            && content.length().is_none_or(|length| length == self.part.span().length())
    }

    /// Is this another part of the same representation?
    pub(crate) fn is_of_same(&self, response: &Response) -> bool {
        let fields = &response.head.fields;
        Part::of(fields).is_some_and(|part| self.set.includes(fields, part))
    }

    /// The stored parts turned out to be of no use for what is asked.
    pub(crate) fn give_up(&self, lead: &Lead) {
        if strong::strong_validator(self.set.fields()).is_some() {
            self.set.forget(&lead.worker, &lead.wanted);
        } else {
            lead.worker.shared.uncombinable.remember(&lead.wanted.key);
        }
    }
}
