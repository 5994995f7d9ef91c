//! A large body that somebody has begun to read can be read to its end, whatever becomes of it.

use std::fs;

use super::*;
use crate::Damage;
use crate::disk::{Fault, Op};

/// What may happen to a stored body while it is read.
#[derive(Clone, Copy, Debug)]
enum Event {
    Removed,
    Cleared,
    MetadataReplaced,
    MetadataReplacedAndRemoved,
    Overwritten,
    MadeRoom,
    FileTakenAway,
}

impl Event {
    const ALL: [Self; 7] = [
        Self::Removed,
        Self::Cleared,
        Self::MetadataReplaced,
        Self::MetadataReplacedAndRemoved,
        Self::Overwritten,
        Self::MadeRoom,
        Self::FileTakenAway,
    ];

    async fn happen(self, setup: &Setup, store: &Store<Label>, entry: &Arc<Entry<Label>>) {
        let key = key("k");
        let replace =
            || store.replace_meta(&key, entry, label("v", "a much longer text than before"));
        match self {
            Self::Removed => assert_eq!(store.remove(&key), 1),
            Self::Cleared => assert_eq!(store.clear().entries, 1),
            Self::MetadataReplaced => assert!(replace().is_some()),
            Self::MetadataReplacedAndRemoved => {
                assert!(replace().is_some());
                store.remove(&key);
            }
            Self::Overwritten => stored(store, &key, label("v", "new"), &body(9, 2 * MIB)).await,
            Self::MadeRoom => {
                for number in 0..4 {
                    let name = number.to_string();
                    let other = super::key(&name);
                    stored(store, &other, label("v", ""), &body(number, 2 * MIB)).await;
                }
            }
            Self::FileTakenAway => fs::remove_file(setup.objects().remove(0)).unwrap(),
        }
        store.flush().await;
    }
}

/// A store with one body of 2 MiB, which is read from its file.
async fn with_one() -> (Setup, Store<Label>, Vec<u8>) {
    let setup = Setup::new(4 * MIB, 8 * MIB);
    let whole = body(1, 2 * MIB);
    stored(&setup.open(), &key("k"), label("v", ""), &whole).await;
    let store = setup.open();
    (setup, store, whole)
}

#[tokio::test]
async fn a_reader_that_was_ready_reads_to_the_end_whatever_happens() {
    for event in Event::ALL {
        let (setup, store, whole) = with_one().await;
        let entry = find(&store, &key("k"), "v").await.unwrap();
        let mut reader = entry.reader();
        reader.ready().await.unwrap();
        event.happen(&setup, &store, &entry).await;
        assert!(read(reader).await.unwrap() == whole, "{event:?}");
    }
}

#[tokio::test]
async fn a_reader_that_followed_the_fill_reads_to_the_end_whatever_happens() {
    for event in Event::ALL {
        let setup = Setup::new(4 * MIB, 8 * MIB);
        let (store, whole) = (setup.open(), body(1, 2 * MIB));
        let mut fill = store.begin(key("k"), label("v", ""), None).unwrap();
        let (entry, reader) = (fill.entry(), fill.entry().reader());
        fill.write(whole.clone().into()).await.unwrap();
        assert_eq!(fill.commit(b"").await, Committed::Stored);
        event.happen(&setup, &store, &entry).await;
        assert!(read(reader).await.unwrap() == whole, "{event:?}");
    }
}

#[tokio::test]
async fn as_long_as_one_reader_is_ready_others_of_its_body_can_begin() {
    for (event, leaves) in Event::ALL.into_iter().flat_map(|event| [(event, 0), (event, 1)]) {
        let (setup, store, whole) = with_one().await;
        let entry = find(&store, &key("k"), "v").await.unwrap();
        // Both open the file at once; whoever comes later has the one of the reader that stays.
        let mut readers = vec![entry.reader(), entry.reader()];
        let (first, second) = readers.split_at_mut(1);
        let (first, second) = tokio::join!(first[0].ready(), second[0].ready());
        assert!(first.is_ok() && second.is_ok());
        let fresh = store.replace_meta(&key("k"), &entry, label("v", "confirmed")).unwrap();
        event.happen(&setup, &store, &fresh).await;
        drop(readers.remove(leaves));
        for entry in [&entry, &fresh] {
            assert!(read(entry.reader()).await.unwrap() == whole, "{event:?}, {leaves} left");
        }
    }
}

#[tokio::test]
async fn fresh_metadata_of_a_file_that_was_taken_away_is_no_entry_to_answer_with() {
    let (setup, store, _) = with_one().await;
    let entry = find(&store, &key("k"), "v").await.unwrap();
    fs::remove_file(setup.objects().remove(0)).unwrap();
    let fresh = store.replace_meta(&key("k"), &entry, label("v", "fresh")).unwrap();
    assert!(matches!(fresh.reader().ready().await, Err(ReadError::Open(_))));
    store.flush().await;
    assert!(store.peek(b"k").is_none() && store.look_up(&key("k")).await.is_none());
    assert!(store.replace_meta(&key("k"), &fresh, label("v", "again")).is_none());
    assert!(store.stats().damaged.contains(&(Damage::Missing, 1)));
    assert_eq!(store.stats().disk_write_failures, 0);
}

#[tokio::test]
async fn a_file_that_is_gone_when_its_metadata_is_written_is_a_miss_and_no_failure_to_write() {
    let (setup, store, _) = with_one().await;
    let entry = find(&store, &key("k"), "v").await.unwrap();
    fs::remove_file(setup.objects().remove(0)).unwrap();
    let fresh = store.replace_meta(&key("k"), &entry, label("v", "fresh")).unwrap();
    store.flush().await;
    assert!(store.look_up(&key("k")).await.is_none());
    assert!(store.stats().damaged.contains(&(Damage::Missing, 1)));
    assert!(matches!(fresh.reader().ready().await, Err(ReadError::Open(_))));
    // The disk does not rest for it.
    stored(&store, &key("k"), label("v", ""), &body(1, 2 * MIB)).await;
}

/// A store with one body of 2 MiB in a file, of whose operations only these are answered so.
async fn answering(
    answer: impl Fn(Op) -> Option<Fault> + Send + Sync + 'static,
) -> (Setup, Store<Label>, Vec<u8>, Arc<Mutex<Vec<Op>>>) {
    let (mut setup, store, whole) = with_one().await;
    drop(store);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    setup.files = Files::failing(move |op| {
        log.lock().unwrap().push(op);
        answer(op)
    });
    let store = setup.open();
    (setup, store, whole, asked)
}

fn count(asked: &Mutex<Vec<Op>>, op: Op) -> usize {
    asked.lock().unwrap().iter().filter(|asked| **asked == op).count()
}

#[tokio::test]
async fn what_the_system_has_in_memory_is_read_without_waiting_for_the_disk() {
    let (_setup, store, whole, asked) = answering(|_| None).await;
    let entry = find(&store, &key("k"), "v").await.unwrap();
    let before = count(&asked, Op::Read);
    assert!(read(entry.reader()).await.unwrap() == whole);
    assert_eq!((count(&asked, Op::Read) - before, count(&asked, Op::ReadNow)), (0, 8));
}

#[tokio::test]
async fn what_it_has_only_in_part_is_read_by_those_who_may_wait() {
    for fault in [Fault::Short, Fault::Errno(rustix::io::Errno::AGAIN.raw_os_error())] {
        let answer = move |op| (op == Op::ReadNow).then_some(fault);
        let (_setup, store, whole, asked) = answering(answer).await;
        let entry = find(&store, &key("k"), "v").await.unwrap();
        let before = count(&asked, Op::Read);
        assert!(read(entry.reader()).await.unwrap() == whole);
        assert_eq!((count(&asked, Op::Read) - before, count(&asked, Op::ReadNow)), (8, 8));
    }
}

#[tokio::test]
async fn a_system_that_cannot_tell_is_not_asked_again() {
    let fault = Fault::Errno(rustix::io::Errno::OPNOTSUPP.raw_os_error());
    let (_setup, store, whole, asked) =
        answering(move |op| (op == Op::ReadNow).then_some(fault)).await;
    let entry = find(&store, &key("k"), "v").await.unwrap();
    assert!(read(entry.reader()).await.unwrap() == whole);
    assert_eq!(count(&asked, Op::ReadNow), 1);
}

#[tokio::test]
async fn a_block_read_without_waiting_is_verified_too() {
    let (setup, store, _, _) = answering(|_| None).await;
    let entry = find(&store, &key("k"), "v").await.unwrap();
    let path = setup.objects().remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[70_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let read = read(entry.reader()).await;
    assert!(matches!(read, Err(ReadError::Damaged { block: 1, why: Damage::Checksum })));
}

#[tokio::test]
async fn a_range_of_a_large_body_reads_what_it_needs() {
    let (_setup, store, whole, asked) = answering(|_| None).await;
    let entry = find(&store, &key("k"), "v").await.unwrap();
    let before = count(&asked, Op::Read);
    let mut reader = entry.reader();
    reader.skip_to(1_500_000);
    let chunk = reader.next().await.unwrap().unwrap();
    assert!(chunk == whole[1_500_000..1_500_000 + chunk.len()]);
    drop(reader);
    assert_eq!((count(&asked, Op::Read) - before, count(&asked, Op::ReadNow)), (0, 1));
}
