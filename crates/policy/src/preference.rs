//! Fields that list preferences with weights (RFC 9110 §12.4.2, §12.5.2 to §12.5.4), brought into a
//! form that does not depend on how a client writes them.

use smallvec::SmallVec;

use crate::syntax::{is_token, members, trim};

/// As many members as are put in order. No browser sends more, and a longer list is compared as it
/// is written.
const MOST: usize = 32;

/// The weight of a member without `q`, in thousandths.
const FULL: u16 = 1000;

/// The fields of this form, as far as their members differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preference {
    /// Accept-Charset.
    Charset,
    /// Accept-Encoding.
    Coding,
    /// Accept-Language.
    Language,
}

impl Preference {
    /// The form of the field of that lower-case name, if it lists preferences.
    pub(crate) fn of(name: &[u8]) -> Option<Preference> {
        match name {
            b"accept-charset" => Some(Preference::Charset),
            b"accept-encoding" => Some(Preference::Coding),
            b"accept-language" => Some(Preference::Language),
            _ => None,
        }
    }

    /// What a member prefers, under its usual name; `None` when it is not of the grammar.
    fn name(self, name: &[u8]) -> Option<&[u8]> {
        let is_sound = match self {
            Preference::Language => is_language_range(name),
            Preference::Charset | Preference::Coding => is_token(name),
        };
        match self {
            //= https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.3
            //# A recipient SHOULD consider "x-gzip" to be equivalent to "gzip".
            Preference::Coding if name.eq_ignore_ascii_case(b"x-gzip") => Some(b"gzip"),
            //= https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.1
            //# A recipient SHOULD consider "x-compress" to be equivalent to "compress".
            Preference::Coding if name.eq_ignore_ascii_case(b"x-compress") => Some(b"compress"),
            _ => is_sound.then_some(name),
        }
    }
}

/// A list of preferences in order: the heaviest first, and of equal ones by name.
pub(crate) struct Preferences<'a> {
    members: SmallVec<[Member<'a>; MOST]>,
}

/// What is preferred, and how much: thousandths, 0 for not at all.
#[derive(Clone, Copy)]
struct Member<'a> {
    name: &'a [u8],
    weight: u16,
}

impl<'a> Preferences<'a> {
    /// Reads the lines of a field, without allocation. `None` when they are better compared as they
    /// are: a member is not of the grammar, there are very many, or one has two weights, and who
    /// knows which one counts.
    pub(crate) fn read(
        field: Preference,
        lines: impl Iterator<Item = &'a [u8]>,
    ) -> Option<Preferences<'a>> {
        let mut list = SmallVec::<[Member<'a>; MOST]>::new();
        for member in lines.flat_map(members) {
            if list.len() == MOST {
                return None;
            }
            list.push(Member::read(field, member)?);
        }
        list.sort_unstable_by(|a, b| lower(a.name).cmp(lower(b.name)));
        let is_ambiguous = |pair: &[Member<'_>]| {
            pair[0].name.eq_ignore_ascii_case(pair[1].name) && pair[0].weight != pair[1].weight
        };
        if list.windows(2).any(is_ambiguous) {
            return None;
        }
        list.dedup_by(|a, b| a.name.eq_ignore_ascii_case(b.name));
        //= https://www.rfc-editor.org/rfc/rfc9110#section-12.5.4
        //# Note that some recipients treat the order in which language tags are listed as an
        //# indication of descending priority, particularly for tags that are assigned equal quality
        //# values (no value is the same as q=1). However, this behavior cannot be relied upon.
        list.sort_unstable_by(|a, b| {
            b.weight.cmp(&a.weight).then_with(|| lower(a.name).cmp(lower(b.name)))
        });
        Some(Preferences { members: list })
    }

    /// The normal form: the same for all ways to write the list.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = u8> {
        self.members.iter().enumerate().flat_map(|(index, member)| {
            let separator: &[u8] = if index > 0 { b", " } else { b"" };
            separator.iter().copied().chain(lower(member.name)).chain(weight_text(member.weight))
        })
    }
}

impl<'a> Member<'a> {
    fn read(field: Preference, member: &'a [u8]) -> Option<Member<'a>> {
        let Some(end) = member.iter().position(|&b| b == b';') else {
            //= https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2
            //# If no "q" parameter is present, the default weight is 1.
            return Some(Member { name: field.name(member)?, weight: FULL });
        };
        let (name, weight) = member.split_at(end);
        //= https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2
        //# weight = OWS ";" OWS "q=" qvalue
        let [b'q' | b'Q', b'=', value @ ..] = trim(&weight[1..]) else { return None };
        Some(Member { name: field.name(trim(name))?, weight: thousandths(value)? })
    }
}

/// Reads a weight.
fn thousandths(value: &[u8]) -> Option<u16> {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2
    //# qvalue = ( "0" [ "." 0*3DIGIT ] )
    //# / ( "1" [ "." 0*3("0") ] )
    let (whole, decimals) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] => (whole, decimals),
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let powers = [100, 10, 1].into_iter();
    let fraction =
        decimals.iter().zip(powers).map(|(digit, power)| u16::from(digit - b'0') * power);
    match (whole, fraction.sum()) {
        (b'0', fraction) => Some(fraction),
        (b'1', 0) => Some(FULL),
        _ => None,
    }
}

/// A weight in its shortest form; nothing for the usual one.
fn weight_text(weight: u16) -> impl Iterator<Item = u8> {
    let digit = |power: u16| b'0' + (weight / power % 10) as u8;
    let text = [b';', b'q', b'=', b'0', b'.', digit(100), digit(10), digit(1)];
    let length = match weight {
        FULL.. => 0,
        0 => 4,
        _ if weight.is_multiple_of(100) => 6,
        _ if weight.is_multiple_of(10) => 7,
        _ => 8,
    };
    text.into_iter().take(length)
}

/// Is this a `language-range`: `*`, or groups of letters and digits with hyphens between?
fn is_language_range(range: &[u8]) -> bool {
    let mut groups = range.split(|&b| b == b'-');
    let is_short = |group: &[u8]| (1..=8).contains(&group.len());
    let is_first = |group: &[u8]| is_short(group) && group.iter().all(u8::is_ascii_alphabetic);
    let is_later = |group: &[u8]| is_short(group) && group.iter().all(u8::is_ascii_alphanumeric);
    range == b"*" || (groups.next().is_some_and(is_first) && groups.all(is_later))
}

fn lower(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().map(u8::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(field: Preference, line: &str) -> Option<String> {
        let list = Preferences::read(field, std::iter::once(line.as_bytes()))?;
        Some(String::from_utf8(list.bytes().collect()).expect("text in, text out"))
    }

    #[test]
    fn a_list_is_sorted_by_weight_and_then_by_name() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2
        //= type=test
        //# If no "q" parameter is present, the default weight is 1.
        //= https://www.rfc-editor.org/rfc/rfc9110#section-12.5.4
        //= type=test
        //# However, this behavior cannot be relied upon.
        let rows = [
            ("", ""),
            (",, ,", ""),
            ("en, de", "de, en"),
            ("de,eN", "de, en"),
            ("en;q=1, de;Q=1.000, fr;q=1.0", "de, en, fr"),
            ("fr;q=0.5, de;q=0.8, en", "en, de;q=0.8, fr;q=0.5"),
            ("en ; q=0.50 ,de;\tq=0.500", "de;q=0.5, en;q=0.5"),
            ("a;q=0.12, b;q=0.123, c;q=0.1", "b;q=0.123, a;q=0.12, c;q=0.1"),
            ("en, *;q=0", "en, *;q=0"),
            ("en;q=0., de;q=0.000", "de;q=0, en;q=0"),
            ("en, EN;q=1.0, de", "de, en"),
            ("zh-Hant-TW, *", "*, zh-hant-tw"),
        ];
        for (line, expected) in rows {
            let got = normal(Preference::Language, line);
            assert_eq!(got.as_deref(), Some(expected), "{line:?}");
        }
    }

    #[test]
    fn what_is_not_of_the_grammar_is_left_as_it_is() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2
        //= type=test
        //# weight = OWS ";" OWS "q=" qvalue
        //= https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2
        //= type=test
        //# qvalue = ( "0" [ "." 0*3DIGIT ] )
        //# / ( "1" [ "." 0*3("0") ] )
        let weights =
            ["", "q", "q=", "q=2", "q=1.001", "q=0.1234", "q=.5", "q=-0", "q=0,5", "q= 1"];
        for weight in weights.map(|weight| format!("en;{weight}")) {
            assert_eq!(normal(Preference::Language, &weight), None, "{weight:?}");
        }
        let languages =
            ["en_US", "e1", "abcdefghi", "en-", "-en", "en;a=b", "en;q=1;a=b", "a b", "\"en\""];
        for language in languages {
            assert_eq!(normal(Preference::Language, language), None, "{language:?}");
        }
        assert_eq!(normal(Preference::Coding, "a/b"), None);
        assert_eq!(normal(Preference::Charset, "utf-8;q=x"), None);
        // Which of the two weights counts, the origin alone knows.
        assert_eq!(normal(Preference::Language, "en, en;q=0.5"), None);
        assert_eq!(normal(Preference::Coding, "gzip, x-gzip;q=0"), None);
    }

    #[test]
    fn old_names_of_codings_count_as_the_new_ones() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.3
        //= type=test
        //# A recipient SHOULD consider "x-gzip" to be equivalent to "gzip".
        //= https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.1
        //= type=test
        //# A recipient SHOULD consider "x-compress" to be equivalent to "compress".
        let got = normal(Preference::Coding, "X-Gzip, br, x-compress;q=0.1, gzip");
        assert_eq!(got.as_deref(), Some("br, gzip, compress;q=0.1"));
        assert_eq!(normal(Preference::Charset, "x-gzip").as_deref(), Some("x-gzip"));
    }

    #[test]
    fn a_very_long_list_is_left_as_it_is() {
        let list = |length: usize| vec!["a"; length].join(",");
        assert_eq!(normal(Preference::Coding, &list(MOST)).as_deref(), Some("a"));
        assert_eq!(normal(Preference::Coding, &list(MOST + 1)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_normal_form_is_its_own_normal_form(
            line in "([a-cA-C*]{1,2}( ?; ?[qQ]=[01](\\.[0-9]{0,3})?)?,? ?){0,6}",
        ) {
            for field in [Preference::Charset, Preference::Coding, Preference::Language] {
                if let Some(once) = normal(field, &line) {
                    prop_assert_eq!(normal(field, &once), Some(once), "{}", line);
                }
            }
        }
    }
}
