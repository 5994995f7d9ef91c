//! The value of `--targeted-fields`: names of response fields, the most applicable first.

/// Reads the list; the text of a fault says what is wrong with it.
pub(super) fn parse(list: &str) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    if list.trim().is_empty() {
        return Ok(names);
    }
    for name in list.split(',').map(str::trim) {
        if name.is_empty() {
            return Err("a name is missing between two commas".to_owned());
        }
        if !name.bytes().all(is_name_byte) {
            return Err(format!("{name:?} is not the name of a field"));
        }
        if ["Cache-Control", "Expires"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
            return Err(format!("{name} is read where no targeted field applies"));
        }
        if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(format!("{name} is in it twice"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// The bytes of a token (RFC 9110 §5.6.2).
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_their_order_and_nothing_is_a_list_too() {
        let rows: &[(&str, &[&str])] = &[
            ("", &[]),
            (" ", &[]),
            ("CDN-Cache-Control", &["CDN-Cache-Control"]),
            ("Surrogate-Control, X-Accel-Expires", &["Surrogate-Control", "X-Accel-Expires"]),
            ("a,b ,c", &["a", "b", "c"]),
        ];
        for (list, expected) in rows {
            let expected = expected.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(parse(list), Ok(expected), "{list:?}");
        }
    }

    #[test]
    fn what_cannot_be_the_name_of_a_targeted_field_is_refused() {
        let rows = [
            (",", "a name is missing between two commas"),
            ("a,,b", "a name is missing between two commas"),
            ("a,", "a name is missing between two commas"),
            ("a b", "\"a b\" is not the name of a field"),
            ("a:", "\"a:\" is not the name of a field"),
            ("ä", "\"ä\" is not the name of a field"),
            ("cache-control", "cache-control is read where no targeted field applies"),
            ("a, Expires", "Expires is read where no targeted field applies"),
            ("a, b, A", "A is in it twice"),
        ];
        for (list, why) in rows {
            assert_eq!(parse(list), Err(why.to_owned()), "{list:?}");
        }
    }
}
