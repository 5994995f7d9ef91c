//! Heads as text, for tests.

use crate::fields::Fields;

/// The lines of a head: `name: value`, one to a line.
pub(crate) fn fields(head: &str) -> Fields {
    let mut fields = Fields::new();
    for line in head.lines().filter(|line| !line.trim().is_empty()) {
        let (name, value) = line.split_once(':').expect("a field line has a colon");
        fields.push(name.trim().as_bytes(), value.trim().as_bytes());
    }
    fields
}
