//! Any sequence of operations against a map: what is found is the last that was stored, or nothing.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Put {
        key: u8,
        variant: u8,
        length: u64,
    },
    Abandon {
        key: u8,
        length: u64,
    },
    Get {
        key: u8,
        variant: u8,
    },
    Freshen {
        key: u8,
        variant: u8,
    },
    Remove {
        key: u8,
    },
    Clear,
    Flush,
    Reopen,
    /// All that is written is found again without a snapshot.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![4 => 0..3000_u64, 1 => 60_000..70_000_u64, 1 => 200_000..400_000_u64];
    let (key, variant) = (0..4_u8, 0..3_u8);
    prop_oneof![
        6 => (key.clone(), variant.clone(), length.clone())
            .prop_map(|(key, variant, length)| Step::Put { key, variant, length }),
        1 => (key.clone(), length).prop_map(|(key, length)| Step::Abandon { key, length }),
        6 => (key.clone(), variant.clone()).prop_map(|(key, variant)| Step::Get { key, variant }),
        5 => (key.clone(), variant).prop_map(|(key, variant)| Step::Freshen { key, variant }),
        1 => key.prop_map(|key| Step::Remove { key }),
        1 => Just(Step::Clear),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

/// What the store should hold: text and body by key and variant.
type Model = HashMap<(u8, u8), (String, Vec<u8>)>;

struct Run {
    setup: Setup,
    store: Option<Store<Label>>,
    model: Model,
    /// Nothing has to make room, so nothing may be missing.
    exact: bool,
    number: u64,
}

impl Run {
    fn new(memory: u64, capacity: u64, exact: bool) -> Self {
        let setup = Setup::new(memory, capacity);
        let store = Some(setup.open());
        Self { setup, store, model: Model::new(), exact, number: 0 }
    }

    fn store(&self) -> &Store<Label> {
        self.store.as_ref().unwrap()
    }

    async fn step(&mut self, step: &Step) {
        self.number += 1;
        let text = self.number.to_string();
        match *step {
            Step::Put { key, variant, length } => self.put(key, variant, text, length).await,
            Step::Abandon { key, length } => {
                let mut fill = self.store().begin(name(key), label("0", &text), None).unwrap();
                fill.write(body(0, length).into()).await.unwrap();
            }
            Step::Get { key, variant } => self.get(key, variant).await,
            Step::Freshen { key, variant } => self.freshen(key, variant, text).await,
            Step::Remove { key } => {
                let known = self.model.keys().filter(|(of, _)| *of == key).count();
                let removed = self.store().remove(&name(key));
                assert!(if self.exact { removed == known } else { removed <= known });
                self.model.retain(|(of, _), _| *of != key);
            }
            Step::Clear => {
                let cleared = self.store().clear().entries as usize;
                let known = self.model.len();
                assert!(if self.exact { cleared == known } else { cleared <= known });
                self.model.clear();
            }
            Step::Flush => self.store().flush().await,
            Step::Reopen => {
                self.store = None;
                self.store = Some(self.setup.open());
            }
            Step::Kill => {
                self.store().flush().await;
                let killed = self.setup.copy();
                self.store = None;
                self.setup = killed;
                self.store = Some(recovered(self.setup.open()));
            }
        }
    }

    async fn put(&mut self, key: u8, variant: u8, text: String, length: u64) {
        let body = body(self.number, length);
        let label = label(&variant.to_string(), &text);
        let committed = put(self.store(), &name(key), label, &body).await;
        assert!(!self.exact || committed == Ok(Committed::Stored));
        self.model.remove(&(key, variant));
        if committed == Ok(Committed::Stored) {
            self.model.insert((key, variant), (text, body));
        }
    }

    async fn get(&self, key: u8, variant: u8) {
        if !self.exact {
            // The writer may be about to make room; what it takes away then is no failure to read.
            self.store().flush().await;
        }
        let found = get(self.store(), &name(key), &variant.to_string()).await;
        let right = self.model.get(&(key, variant));
        if found.is_some() || self.exact {
            assert!(found.as_ref() == right, "not what was stored last");
        }
    }

    async fn freshen(&mut self, key: u8, variant: u8, text: String) {
        let variant_name = variant.to_string();
        let Some(entry) = find(self.store(), &name(key), &variant_name).await else { return };
        let fresh = label(&variant_name, &text);
        if self.store().replace_meta(&name(key), &entry, fresh).is_some() {
            self.model.get_mut(&(key, variant)).unwrap().0 = text;
        } else {
            assert!(!self.exact);
        }
    }
}

fn name(key: u8) -> Key {
    Key::new(&[b'k', key])
}

fn run(steps: &[Step], memory: u64, capacity: u64, exact: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(memory, capacity, exact);
        for step in steps {
            run.step(step).await;
        }
        for (key, variant) in (0..4).flat_map(|key| (0..3).map(move |variant| (key, variant))) {
            run.get(key, variant).await;
        }
        let stats = run.store().stats();
        assert_eq!(stats.damaged.iter().map(|(_, count)| count).sum::<u64>(), 0);
        run.store().flush().await;
        assert_eq!(run.store().stats().in_flight_bytes, 0);
        assert!(run.setup.on_disk() <= capacity);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn with_room_for_all_nothing_is_lost(steps in prop::collection::vec(step(), 1..40)) {
        run(&steps, 8 * MIB, 64 * MIB, true);
    }

    #[test]
    fn on_disk_alone_nothing_is_lost(steps in prop::collection::vec(step(), 1..40)) {
        run(&steps, 0, 64 * MIB, true);
    }

    #[test]
    fn with_little_room_nothing_is_wrong(steps in prop::collection::vec(step(), 1..40)) {
        run(&steps, 40 * KIB, 500 * KIB, false);
    }
}
