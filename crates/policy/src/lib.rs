//! The RFC 9111 engine: heads and the time in, a decision and its reason out.
//!
//! Nothing here does I/O, reads a clock or waits. A proxy asks in this order:
//!
//! 1. [`classify`](classify::classify): may this request be answered from the cache at all?
//! 2. [`primary_key`], then [`Vary::matches`] and [`choose`](fn@choose): which stored response
//!    could answer it?
//! 3. [`reuse`](reuse::reuse): may that response be used now, as it is?
//! 4. [`conditional_fields`](validate::conditional_fields) before the origin is asked, and
//!    [`selected_by`](validate::selected_by) and [`freshen`](validate::freshen) when it answers 304;
//!    [`other_variants`] where no stored response could answer the request, and
//!    [`head_effect`] for what a HEAD tells in passing.
//! 5. [`admit`](admit::admit), or [`admit_post`]: may what came back be stored,
//!    and on which [`Terms`]?
//! 6. [`invalidated`](invalidate::invalidated): what did an unsafe request make untrue?
//! 7. [`respond`](respond::respond): does this client get the content, or a 304?
//! 8. [`cache_status`]: say what happened, with the reason's stable code.
//!
//! The hit path is allocation-free: a request is digested once into [`Asked`], and
//! a stored response was digested into [`Terms`] when it was admitted.

pub mod admit;
pub mod age;
pub mod choose;
pub mod classify;
pub mod date;
pub mod dialect;
pub mod directives;
pub mod explain;
pub mod fields;
pub mod forwarded;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[allow(missing_docs, clippy::indexing_slicing, clippy::panic, reason = "test code: it may fail")]
pub mod fuzzing;
pub mod groups;
pub mod head_update;
pub mod invalidate;
pub mod key;
pub mod lifetime;
pub mod live;
pub mod loops;
pub mod method;
pub mod no_vary_search;
pub mod other_variants;
pub mod partial;
pub mod parts;
pub mod post;
mod preference;
pub mod query;
pub mod range;
pub mod reason;
pub mod respond;
pub mod reuse;
pub mod rules;
pub mod seen;
pub mod strip;
pub mod strong;
mod syntax;
pub mod tags;
mod targeted;
pub mod terms;
pub mod units;
pub mod unshared;
pub mod upgrade;
pub mod validate;
pub mod vary;
mod wire;

pub use admit::{Admit, Exchanged, admit};
pub use choose::{Match, choose};
pub use classify::{Asked, Plan, classify};
pub use explain::{Collapsed, Fwd, Outcome, cache_status};
pub use fields::Fields;
pub use head_update::{HeadEffect, StoredForHead, head_effect};
pub use key::primary_key;
pub use method::Method;
pub use no_vary_search::NoVarySearch;
pub use post::admit_post;
pub use range::{Part, RangeSet, Selection, Span};
pub use reason::Reason;
pub use respond::{Reply, respond};
pub use reuse::{OriginFailure, Verdict, absent, reuse, stale_on_error, unvalidated_status};
pub use rules::Rules;
pub use seen::{OriginName, Seen};
pub use terms::Terms;
pub use units::{Age, DeltaSeconds, Lifetime, Timestamp};
pub use unshared::unshared;
pub use upgrade::Offer;
pub use vary::Vary;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod properties;
