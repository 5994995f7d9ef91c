//! Two keys with the same hash and the same short key: a miss, never the answer of the other.

use super::*;

fn alike(number: u64) -> Key {
    let key = key(&format!("alike {number}"));
    let other = super::key("alike as well");
    assert_eq!((key.hash(), &key.id()[..8]), (other.hash(), &other.id()[..8]));
    assert_ne!(key.id(), other.id());
    key
}

/// The entry of the number, or none; never one of another.
async fn own(store: &Store<Label>, number: u64, variant: &str, length: u64) -> bool {
    let Some((text, found)) = get(store, &alike(number), variant).await else { return false };
    assert_eq!(text, number.to_string());
    assert!(found == body(number, length), "the content of another");
    true
}

const LENGTHS: [u64; 2] = [1000, 700_000];

#[tokio::test]
async fn a_key_that_looks_like_another_never_gets_its_answer() {
    for (memory, capacity) in [(16 * MIB, 0), (0, 64 * MIB), (16 * MIB, 64 * MIB)] {
        for length in LENGTHS {
            let setup = Setup::new(memory, capacity);
            let store = setup.open();
            stored(&store, &alike(0), label("v", "0"), &body(0, length)).await;
            assert!(own(&store, 0, "v", length).await);
            assert!(!own(&store, 1, "v", length).await && store.peek(b"alike 1").is_none());
            store.flush().await;
            assert!(own(&store, 0, "v", length).await && !own(&store, 1, "v", length).await);
            for number in 1..4 {
                let _ = put(
                    &store,
                    &alike(number),
                    label("v", &number.to_string()),
                    &body(number, length),
                )
                .await;
                assert!(own(&store, number, "v", length).await, "the last one");
            }
            store.flush().await;
            let mut found = 0;
            for number in 0..5 {
                found += u64::from(own(&store, number, "v", length).await);
            }
            assert!(found >= 1);
        }
    }
}

#[tokio::test]
async fn variants_of_keys_that_look_alike_live_side_by_side_also_after_a_stop_and_a_kill() {
    for length in LENGTHS {
        let setup = Setup::new(0, 64 * MIB);
        let store = setup.open();
        for number in 0..3 {
            let label = label(&format!("v{number}"), &number.to_string());
            stored(&store, &alike(number), label, &body(number, length)).await;
        }
        store.flush().await;
        let killed = setup.copy();
        drop(store);
        for store in [setup.open(), recovered(killed.open())] {
            for number in 0..3 {
                for variant in 0..3 {
                    let found = own(&store, number, &format!("v{variant}"), length).await;
                    assert_eq!(found, number == variant, "{number}, {variant}, {length}");
                }
            }
            // It may cost the others their place, but not the other way round.
            assert!(store.remove(&alike(0)) >= 1);
            assert!(!own(&store, 0, "v0", length).await);
        }
    }
}
