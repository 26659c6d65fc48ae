//! However a journal is used, ended and damaged.

use proptest::prelude::*;

use super::*;

const BOUND: u64 = 1 << 30;

fn append(journal: &mut Journal, number: u64) {
    // Lengths that differ, so that segments end anywhere.
    let parcel = parcel(number);
    assert_eq!(journal.append(&parcel, BOUND).expect("room"), number);
}

fn parcel(number: u64) -> Vec<u8> {
    let mut parcel = number.to_le_bytes().to_vec();
    parcel.resize(8 + (number as usize * 37) % 900, b'.');
    parcel
}

/// All that is unread, checked against what was put.
fn drain(journal: &mut Journal) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let found = journal.fetch(100, 1 << 20).expect("reads");
        if found.is_empty() && journal.unread() == 0 {
            return numbers;
        }
        for (number, bytes) in found {
            assert_eq!(bytes, parcel(number));
            numbers.push(number);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// However appending, reading, delivering and dying are mixed: what was not delivered is there, in order, once.
    #[test]
    fn nothing_undelivered_is_lost(steps in prop::collection::vec((0_u8..5, 1_u64..120), 1..40)) {
        let folder = tempfile::tempdir().expect("folder");
        // The least segments there are: 16 KiB.
        let open = || Journal::open(folder.path(), 0).expect("opens");
        let mut journal = open();
        let (mut next, mut read, mut delivered) = (0, 0, 0);
        for (step, count) in steps {
            match step {
                0 | 1 => (0..count).for_each(|_| { append(&mut journal, next); next += 1; }),
                2 => {
                    let found = journal.fetch(count as usize, 1 << 20).expect("reads");
                    for (number, bytes) in found {
                        prop_assert_eq!(number, read);
                        prop_assert_eq!(bytes, parcel(number));
                        read += 1;
                    }
                }
                3 => {
                    delivered = (delivered + count).min(read);
                    journal.deliver_below(delivered).expect("written");
                }
                _ => {
                    journal = open();
                    read = delivered;
                }
            }
            prop_assert_eq!(journal.unread(), next - read);
        }
        prop_assert_eq!(drain(&mut journal), (read..next).collect::<Vec<_>>());
        prop_assert_eq!(journal.take_damaged(), 0);
        journal.deliver_below(next).expect("written");
        journal.close();
        prop_assert_eq!(open().bytes(), 0);
        prop_assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1);
    }

    /// Bytes changed anywhere and files cut anywhere: what comes back was put, in order; the rest is counted as damaged.
    #[test]
    fn damage_is_counted(
        count in 1_u64..200,
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 1..4),
    ) {
        let folder = tempfile::tempdir().expect("folder");
        let mut journal = Journal::open(folder.path(), 0).expect("opens");
        (0..count).for_each(|number| append(&mut journal, number));
        let mut files: Vec<_> = journal.segments.iter().map(|segment| segment.path.clone()).collect();
        files.sort();
        for (file, place, cuts) in hits {
            let path = &files[file.index(files.len())];
            let mut bytes = fs::read(path).expect("file");
            if bytes.is_empty() {
                continue;
            }
            let place = place.index(bytes.len());
            if cuts && path != files.last().expect("one") {
                bytes.truncate(place);
            } else {
                bytes[place] ^= 0x55;
            }
            fs::write(path, bytes).expect("file");
        }
        // While it runs, and by the next process.
        let found = drain(&mut journal);
        prop_assert!(found.is_sorted());
        prop_assert_eq!(found.len() as u64 + journal.take_damaged(), count);
        let mut journal = Journal::open(folder.path(), 0).expect("opens");
        let again = drain(&mut journal);
        prop_assert_eq!(&again, &found);
        // The end of the last file may be a write that was cut short; how many were in it nobody knows.
        let damaged = journal.take_damaged();
        let last = found.last().map_or(0, |last| last + 1);
        prop_assert!(damaged <= count - found.len() as u64);
        prop_assert!(damaged >= last.saturating_sub(found.len() as u64));
    }
}

/// What fills the bound is refused, and there is room again when the first parcels are delivered.
#[test]
fn the_bound_is_kept() {
    let folder = tempfile::tempdir().expect("folder");
    let bound = 1 << 18;
    let mut journal = Journal::open(folder.path(), bound).expect("opens");
    let mut count = 0;
    while journal.append(&[0; 500], bound).is_ok() {
        count += 1;
        assert!(journal.bytes() <= bound);
    }
    assert_eq!(count, bound / 520);
    assert_eq!(journal.fetch(100, 1 << 20).expect("reads").len(), 100);
    journal.deliver_below(100).expect("written");
    assert!(journal.append(&[0; 500], bound).is_ok());
}
