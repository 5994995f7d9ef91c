//! Labels of stored responses: the cache groups (RFC 9875) and tags that they share with others.
//!
//! The store knows labels as hashes of these names. A group is of an origin, as the client names it;
//! a tag is of all that one origin server is asked for, under whatever host. Two origin servers
//! that use one cache directory share neither.

use policy::Fields;
use policy::groups::groups;
use policy::tags::{Tags, tags};
use store::{Label, Labels, Moment};

use crate::head::RequestHead;
use crate::worker::Worker;

/// The labels of a response that was asked for from `began` on.
pub(crate) fn of(
    worker: &Worker,
    request: &RequestHead,
    response: &Fields,
    began: Moment,
) -> Labels {
    let mut labels: Vec<_> = of_groups(worker, request, &groups(response)).collect();
    let server = worker.origin.shared.name.as_bytes();
    let Tags { names, beyond } = tags(response);
    labels.extend(names.iter().map(|tag| of_tag(server, tag)));
    if beyond {
        labels.push(of_many_tags(server));
    }
    Labels::new(began, labels)
}

/// The labels of these groups of the origin of a request's target.
pub(crate) fn of_groups(
    worker: &Worker,
    request: &RequestHead,
    groups: &[Vec<u8>],
) -> impl Iterator<Item = Label> {
    let mut origin = Vec::new();
    if !groups.is_empty() {
        policy::key::origin(&mut origin, request.scheme.as_str().as_bytes(), &request.authority);
    }
    let server = worker.origin.shared.name.as_bytes();
    groups.iter().map(move |group| of_group(server, &origin, group))
}

/// The label of a group of an origin, as its name stands between the quotes.
pub(crate) fn of_group(server: &[u8], origin: &[u8], group: &[u8]) -> Label {
    label(&[b"group", server, origin, group])
}

/// The label of a tag.
pub(crate) fn of_tag(server: &[u8], tag: &[u8]) -> Label {
    label(&[b"tag", server, tag])
}

/// The label of responses with more tags than are looked at: whoever ends a tag ends these too.
pub(crate) fn of_many_tags(server: &[u8]) -> Label {
    label(&[b"tags beyond bounds", server])
}

/// No part has a line end in it, so no two names are the same by accident.
fn label(parts: &[&[u8]]) -> Label {
    Label::of(&parts.join(&b'\n'))
}
