use super::*;

fn table(floor: u64, events: &[Event]) -> Table {
    let mut table = Table::with(floor, 2, 99);
    for event in events {
        table.note(*event);
    }
    table
}

const fn event(hash: u64, number: u64) -> Event {
    Event { subject: Subject::Label(hash), fate: Fate::Dead, number }
}

const STALE: Event = Event {
    subject: Subject::Prefix { length: 12, hash: 7 },
    fate: Fate::Stale { since: -5 },
    number: 6,
};

/// A log of two events that was appended to.
fn log() -> Vec<u8> {
    let (mut bytes, chain) = encode(&table(3, &[event(7, 4)]), 1000);
    let chain = put_record(&mut bytes, &STALE, chain);
    put_record(&mut bytes, &event(7, 5), chain);
    bytes
}

#[test]
fn a_log_is_read_back_with_the_last_events_of_each_subject() {
    let read = decode(&log()).unwrap();
    assert_eq!(read.table, table(3, &[event(7, 5), STALE]));
    assert_eq!(read.taken, 1000);
    let (again, _) = encode(&read.table, 1000);
    assert_eq!(again.len(), HEADER + 2 * RECORD);
    assert_eq!(decode(&again), Some(read));
    let (empty, _) = encode(&Table::default(), 1);
    assert_eq!(decode(&empty).unwrap().table, Table::default());
    let all = Event { subject: Subject::Everything, ..event(0, 8) };
    let (mut bytes, chain) = encode(&table(3, &[event(7, 4), STALE]), 1000);
    put_record(&mut bytes, &all, chain);
    assert_eq!(decode(&bytes).unwrap().table, table(9, &[]));
}

#[test]
fn every_flipped_bit_and_every_torn_record_is_noticed() {
    let log = log();
    for bit in 0..8 * log.len() {
        let mut damaged = log.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode(&damaged), None, "bit {bit}");
    }
    for length in 0..log.len() {
        let is_whole = length >= HEADER && (length - HEADER).is_multiple_of(RECORD);
        assert_eq!(decode(&log[..length]).is_some(), is_whole, "{length} bytes");
    }
    // Zeros, as a power cut may leave them.
    assert_eq!(decode(&[&log[..], &[0; RECORD]].concat()), None);
}

#[test]
fn a_record_that_is_lost_doubled_or_moved_is_noticed() {
    let log = log();
    let (header, records) = log.split_at(HEADER);
    let (a, rest) = records.split_at(RECORD);
    let (b, c) = rest.split_at(RECORD);
    for parts in [vec![b, c], vec![a, c], vec![a, b, b, c], vec![b, a, c]] {
        assert_eq!(decode(&[header, &parts.concat()].concat()), None);
    }
}
