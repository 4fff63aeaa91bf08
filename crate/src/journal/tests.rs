use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

/// A file on a disk: bytes that were written since the machine started may be lost with its power, sector by sector.
#[derive(Clone, Default)]
struct Disk(Rc<RefCell<Platter>>);

#[derive(Clone, Default)]
struct Platter {
    bytes: Vec<u8>,
    flushed: Vec<u8>,
    /// The next write stops after this many bytes.
    fails_after: Option<usize>,
}

const SECTOR: usize = 512;

impl LogFile for Disk {
    type Error = &'static str;

    fn read(&self) -> Result<Vec<u8>, Self::Error> {
        Ok(self.0.borrow().bytes.clone())
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), Self::Error> {
        let mut platter = self.0.borrow_mut();
        let failed = platter.fails_after.take();
        let bytes = &bytes[..failed.unwrap_or(bytes.len()).min(bytes.len())];
        let (at, end) = (at as usize, at as usize + bytes.len());
        if platter.bytes.len() < end {
            platter.bytes.resize(end, 0);
        }
        platter.bytes[at..end].copy_from_slice(bytes);
        failed.map_or(Ok(()), |_| Err("no space left"))
    }

    fn cut(&self, length: u64) -> Result<(), Self::Error> {
        let mut platter = self.0.borrow_mut();
        platter.bytes.truncate(length as usize);
        platter.flushed = platter.bytes.clone();
        Ok(())
    }
}

impl Disk {
    /// The process ends: all that was written stays, and may reach the disk.
    fn killed(&self) -> Disk {
        let platter = Platter {
            fails_after: None,
            ..self.0.borrow().clone()
        };
        Disk(Rc::new(RefCell::new(platter)))
    }

    /// The power goes: of each sector the newer or the older version is there.
    fn unplugged(&self, mut newer: impl FnMut() -> bool) -> Disk {
        let platter = self.0.borrow();
        let longest = platter.bytes.len().max(platter.flushed.len());
        let mut bytes = Vec::new();
        for start in (0..longest).step_by(SECTOR) {
            let source = if newer() {
                &platter.bytes
            } else {
                &platter.flushed
            };
            let end = (start + SECTOR).min(source.len());
            let sector = source.get(start..end).unwrap_or_default();
            if bytes.len() < start && !sector.is_empty() {
                bytes.resize(start, 0);
            }
            bytes.extend_from_slice(sector);
        }
        Disk(Rc::new(RefCell::new(Platter {
            flushed: bytes.clone(),
            bytes,
            fails_after: None,
        })))
    }

    fn flush(&self) {
        let mut platter = self.0.borrow_mut();
        platter.flushed = platter.bytes.clone();
    }
}

type State = BTreeMap<String, Bytes>;

fn apply(state: &mut State, batch: &Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => state.insert(key.clone(), value.clone()),
            None => state.remove(key),
        };
    }
}

fn fresh_salt(turns: &mut u8) -> Salt {
    *turns = turns.wrapping_add(1);
    [*turns; 16]
}

#[derive(Clone, Debug)]
enum Step {
    Append(Batch),
    /// An append of which this many bytes are written.
    Fail(Batch, usize),
    /// The database takes the batches that are there.
    Cover,
    /// It took them, but the process does not learn of it any more.
    CoverUnheard,
    /// The system writes a file back at a time of its own choice.
    WriteBack(bool),
    Kill,
    Unplug(u64),
}

fn a_batch() -> impl Strategy<Value = Batch> {
    let length = prop_oneof![8 => 0..200usize, 1 => 60_000..70_000usize];
    let value = prop_oneof![
        6 => (any::<u8>(), length).prop_map(|(byte, length)| Some(Bytes::from(vec![byte; length]))),
        1 => Just(None),
    ];
    prop::collection::vec(("[a-e]", value), 0..4)
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => a_batch().prop_map(Step::Append),
        1 => (a_batch(), 0..300usize).prop_map(|(batch, bytes)| Step::Fail(batch, bytes)),
        4 => Just(Step::Cover),
        1 => Just(Step::CoverUnheard),
        2 => any::<bool>().prop_map(Step::WriteBack),
        2 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::Unplug),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// A start finds the records as they were after some batch: after the last one if the process was killed, after
    /// none before the database's last if the power went.
    #[test]
    fn nothing_is_lost_with_the_process(steps in prop::collection::vec(a_step(), 1..120)) {
        let mut disks = [Disk::default(), Disk::default()];
        let mut turns = 0;
        // After each batch.
        let mut states = vec![State::new()];
        let (mut database, mut covered) = (State::new(), 0u64);
        let (mut journal, _) = Journal::open(disks.clone(), 0).unwrap();
        for step in steps {
            let power = match step {
                Step::Append(batch) => {
                    journal.append(&batch, || Ok(fresh_salt(&mut turns))).unwrap();
                    let mut state = states.last().unwrap().clone();
                    apply(&mut state, &batch);
                    states.push(state);
                    continue;
                }
                Step::Fail(batch, bytes) => {
                    // Shorter than any write, so that it does fail.
                    for disk in &disks {
                        disk.0.borrow_mut().fails_after = Some(bytes % 20);
                    }
                    prop_assert!(journal.append(&batch, || Ok(fresh_salt(&mut turns))).is_err());
                    for disk in &disks {
                        disk.0.borrow_mut().fails_after = None;
                    }
                    continue;
                }
                Step::Cover | Step::CoverUnheard => {
                    (database, covered) = (states.last().unwrap().clone(), journal.last());
                    if matches!(step, Step::Cover) {
                        journal.cover(covered);
                    }
                    continue;
                }
                Step::WriteBack(which) => {
                    disks[usize::from(which)].flush();
                    continue;
                }
                Step::Kill => None,
                Step::Unplug(seed) => Some(seed),
            };
            let mut seed = power.unwrap_or(0);
            disks = disks.map(|disk| match power {
                None => disk.killed(),
                Some(_) => disk.unplugged(|| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    seed >> 62 != 0
                }),
            });
            let missing;
            (journal, missing) = Journal::open(disks.clone(), covered).unwrap();
            let mut state = database.clone();
            for batch in &missing {
                apply(&mut state, batch);
            }
            let number = journal.last() as usize;
            prop_assert!(number as u64 >= covered && number < states.len());
            if power.is_none() {
                prop_assert_eq!(number + 1, states.len(), "a kill lost a batch");
            }
            prop_assert_eq!(&state, &states[number]);
            states.truncate(number + 1);
        }
    }

    #[test]
    fn an_entry_that_was_touched_ends_the_file(
        batches in prop::collection::vec(a_batch(), 1..6),
        place in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let disks = [Disk::default(), Disk::default()];
        let (mut journal, _) = Journal::open(disks.clone(), 0).unwrap();
        for batch in &batches {
            journal.append(batch, || Ok([7; 16])).unwrap();
        }
        let mut bytes = disks[0].read().unwrap();
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let found = read(&bytes).map_or(Vec::new(), |contents| contents.batches);
        prop_assert!(found.len() < batches.len());
        for ((number, found), batch) in found.iter().zip(&batches) {
            prop_assert!(*number >= 1);
            prop_assert_eq!(found, batch);
        }
    }
}

/// 256 KiB, or as much more as the database leaves to it.
#[test]
fn the_files_take_turns() {
    let disks = [Disk::default(), Disk::default()];
    let mut turns = 0;
    let (mut journal, _) = Journal::open(disks.clone(), 0).unwrap();
    let batch = vec![("k".to_owned(), Some(Bytes::from(vec![1; 10_000])))];
    let mut append = |times, covers| {
        for _ in 0..times {
            let salt = || Ok(fresh_salt(&mut turns));
            journal.append(&batch, salt).unwrap();
            if covers {
                journal.cover(journal.last());
            }
        }
        let longest = disks.iter().map(|disk| disk.0.borrow().bytes.len()).max();
        longest.unwrap() as u64
    };
    assert!(append(200, true) < TURN_BYTES + 11_000);
    assert!(append(200, false) > 1_500_000);
    // A long file is cut when its turn comes again.
    assert!(append(200, true) < TURN_BYTES + 11_000);
    assert!(turns >= 12, "{turns} turns");
}
