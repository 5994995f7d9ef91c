use proptest::prelude::*;

use super::*;

#[test]
fn sizes_as_people_write_them() {
    let table = [
        ("0", 0),
        ("512", 512),
        ("512k", 512 << 10),
        ("512K", 512 << 10),
        ("256MiB", 256 << 20),
        ("256 MiB", 256 << 20),
        ("256mib", 256 << 20),
        ("1GB", 1_000_000_000),
        ("1GiB", 1 << 30),
        ("1.5GiB", 3 << 29),
        ("2T", 2 << 40),
        ("100 bytes", 100),
        ("7kB", 7_000),
        ("17179869183GiB", 17_179_869_183 << 30),
    ];
    for (text, bytes) in table {
        assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
    }
}

#[test]
fn texts_that_are_no_size() {
    let table = [
        ("", UnitError::Empty),
        ("MiB", UnitError::NotANumber("MiB".into())),
        ("-1", UnitError::NotANumber("-1".into())),
        ("1.2.3k", UnitError::NotANumber("1.2.3".into())),
        ("1.k", UnitError::NotANumber("1.".into())),
        ("10parsecs", UnitError::UnknownUnit("parsecs".into())),
        ("1 G iB", UnitError::UnknownUnit("G iB".into())),
        ("17179869184GiB", UnitError::TooLarge),
        ("99999999999999999999", UnitError::TooLarge),
    ];
    for (text, error) in table {
        assert_eq!(ByteSize::parse(text), Err(error), "{text}");
    }
}

#[test]
fn durations_as_people_write_them() {
    let table = [
        ("0", 0),
        ("90", 90_000),
        ("500ms", 500),
        ("30s", 30_000),
        ("3.5s", 3_500),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("1h 30m", 5_400_000),
        ("2d", 172_800_000),
        ("1d2h3m4s5ms", 93_784_005),
        ("0.25", 250),
    ];
    for (text, millis) in table {
        assert_eq!(Span::parse(text), Ok(Span(Duration::from_millis(millis))), "{text}");
    }
}

#[test]
fn texts_that_are_no_duration() {
    let table = [
        ("", UnitError::Empty),
        ("soon", UnitError::NotANumber("soon".into())),
        ("-5s", UnitError::NotANumber("-5s".into())),
        ("5x", UnitError::UnknownUnit("x".into())),
        ("1h30", UnitError::UnknownUnit(String::new())),
        ("30m1h", UnitError::Order),
        ("1s1s", UnitError::Order),
        ("0.5ms", UnitError::TooFine),
        ("1.0005s", UnitError::TooFine),
        ("999999999999999d", UnitError::TooLarge),
    ];
    for (text, error) in table {
        assert_eq!(Span::parse(text), Err(error), "{text}");
    }
}

#[test]
fn both_print_in_the_unit_that_a_person_would_choose() {
    assert_eq!(ByteSize(256 << 20).to_string(), "256MiB");
    assert_eq!(ByteSize(1_000_000).to_string(), "1000000");
    assert_eq!(ByteSize(0).to_string(), "0");
    assert_eq!(Span(Duration::from_mins(5)).to_string(), "5m");
    assert_eq!(Span(Duration::from_millis(3_500)).to_string(), "3s500ms");
    assert_eq!(Span(Duration::ZERO).to_string(), "0s");
}

#[test]
fn rough_figures_are_short() {
    assert_eq!(rough_bytes(812), "812 B");
    assert_eq!(rough_bytes(1024), "1.0 KiB");
    assert_eq!(rough_bytes(3 << 29), "1.5 GiB");
    assert_eq!([0, 1, 2].map(responses), ["0 responses", "1 response", "2 responses"]);
    assert_eq!(rough_time(Duration::from_micros(120)), "0.1 ms");
    assert_eq!(rough_time(Duration::from_millis(4_560)), "4.56 s");
}

proptest! {
    #[test]
    fn a_printed_size_reads_as_the_same_size(bytes: u64) {
        prop_assert_eq!(ByteSize::parse(&ByteSize(bytes).to_string()), Ok(ByteSize(bytes)));
        let round = ByteSize(bytes & !0xF_FFFF);
        prop_assert_eq!(ByteSize::parse(&round.to_string()), Ok(round));
    }

    #[test]
    fn a_printed_duration_reads_as_the_same_duration(millis: u64) {
        let span = Span(Duration::from_millis(millis));
        prop_assert_eq!(Span::parse(&span.to_string()), Ok(span));
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "[0-9a-zA-Z. -]{0,24}|\\PC{0,12}") {
        let _ = ByteSize::parse(&text);
        let _ = Span::parse(&text);
    }
}
