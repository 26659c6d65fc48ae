//! How a parcel lies in a file, and how parcels are found again in a file that was torn or damaged.
//!
//! ```text
//! ff 50 fe 43 | length u32 | sequence u64 | crc u32 | the parcel          (little-endian)
//! ```
//!
//! The check sum (CRC-32 of IEEE 802.3) is over the file's salt, the length, the sequence and the parcel: a frame that an
//! attacker wrote into a parcel is none, since the salt is not known to him. The first byte never occurs in UTF-8, so that
//! a search for the next frame in damaged text goes straight to it.

/// Bytes before the parcel.
pub(super) const HEADER_BYTES: usize = 20;

/// A longer parcel is refused, and a longer length in a file is damage.
pub(super) const LONGEST_BYTES: usize = 16 << 20;

const MAGIC: [u8; 4] = [0xff, b'P', 0xfe, b'C'];

/// Appends a frame.
pub(super) fn push(file: &mut Vec<u8>, salt: u64, sequence: u64, parcel: &[u8]) {
    let length = parcel.len() as u32;
    file.reserve(HEADER_BYTES + parcel.len());
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&sequence.to_le_bytes());
    file.extend_from_slice(&check_sum(salt, length, sequence, parcel).to_le_bytes());
    file.extend_from_slice(parcel);
}

/// A whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Its number in the journal.
    pub(super) sequence: u64,
    /// What it holds.
    pub(super) parcel: &'a [u8],
    /// Where it begins.
    pub(super) begin: usize,
    /// Where the next one begins.
    pub(super) end: usize,
}

/// The first whole frame at `from` or behind it, past whatever is damaged; sequences below `least` are damage too.
pub(super) fn next(file: &[u8], from: usize, salt: u64, least: u64) -> Option<Frame<'_>> {
    let mut at = from;
    loop {
        at += find(file.get(at..)?)?;
        if let Some(frame) = read(file, at, salt, least) {
            return Some(frame);
        }
        at += 1;
    }
}

/// The frame that begins here, if it is whole.
fn read(file: &[u8], at: usize, salt: u64, least: u64) -> Option<Frame<'_>> {
    let header = file.get(at..at.checked_add(HEADER_BYTES)?)?;
    let length = u32::from_le_bytes(header[4..8].try_into().ok()?);
    let sequence = u64::from_le_bytes(header[8..16].try_into().ok()?);
    let sum = u32::from_le_bytes(header[16..20].try_into().ok()?);
    if length as usize > LONGEST_BYTES || sequence < least {
        return None;
    }
    let begin = at + HEADER_BYTES;
    let end = begin.checked_add(length as usize)?;
    let parcel = file.get(begin..end)?;
    (check_sum(salt, length, sequence, parcel) == sum).then_some(Frame {
        sequence,
        parcel,
        begin: at,
        end,
    })
}

fn find(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(MAGIC.len())
        .position(|window| window == MAGIC)
}

fn check_sum(salt: u64, length: u32, sequence: u64, parcel: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(&salt.to_le_bytes());
    sum.update(&length.to_le_bytes());
    sum.update(&sequence.to_le_bytes());
    sum.update(parcel);
    sum.sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: u64 = 0x1234_5678_9abc_def0;

    /// Frames of these parcels, and where each begins.
    fn file(parcels: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let mut file = Vec::new();
        let mut begins = Vec::new();
        for (sequence, parcel) in parcels.iter().enumerate() {
            begins.push(file.len());
            push(&mut file, SALT, sequence as u64, parcel);
        }
        begins.push(file.len());
        (file, begins)
    }

    fn all(file: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let (mut found, mut at, mut least) = (Vec::new(), 0, 0);
        while let Some(frame) = next(file, at, SALT, least) {
            found.push((frame.sequence, frame.parcel.to_vec()));
            (at, least) = (frame.end, frame.sequence + 1);
        }
        found
    }

    fn parcels() -> impl Strategy<Value = Vec<Vec<u8>>> {
        // Bytes of the magic are common, so that parcels look like frames.
        let byte = prop_oneof![any::<u8>(), prop::sample::select(MAGIC.to_vec())];
        prop::collection::vec(prop::collection::vec(byte, 0..80), 0..20)
    }

    proptest! {
        /// Cut anywhere, a file gives back exactly the frames that lie before the cut.
        #[test]
        fn a_torn_tail_costs_the_torn_frame_only(parcels in parcels(), cut in any::<prop::sample::Index>()) {
            let (file, begins) = file(&parcels);
            let cut = cut.index(file.len() + 1);
            let whole = begins[1..].iter().filter(|end| **end <= cut).count();
            let expected: Vec<_> = (0..).zip(parcels[..whole].to_vec()).collect();
            prop_assert_eq!(all(&file[..cut]), expected);
        }

        /// Whatever bytes are changed, frames that were not touched are found, in order, and nothing else is.
        #[test]
        fn damage_costs_the_damaged_frames_only(
            parcels in parcels(),
            hits in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..6),
        ) {
            let (whole, begins) = file(&parcels);
            prop_assume!(!whole.is_empty());
            let mut file = whole.clone();
            for (place, change) in &hits {
                let place = place.index(file.len());
                file[place] ^= change;
            }
            let untouched = |at: &usize| file[begins[*at]..begins[at + 1]] == whole[begins[*at]..begins[at + 1]];
            let expected: Vec<_> = (0..parcels.len())
                .filter(untouched)
                .map(|at| (at as u64, parcels[at].clone()))
                .collect();
            prop_assert_eq!(all(&file), expected);
        }

        /// Bytes from anywhere are no frames, and no crash.
        #[test]
        fn noise_is_no_frame(noise in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(all(&noise), Vec::new());
        }
    }

    /// A parcel that holds a frame made with another salt, damaged around it: the frame inside is not taken for one.
    #[test]
    fn a_frame_inside_of_a_parcel_is_none() {
        let mut inner = Vec::new();
        push(&mut inner, SALT ^ 1, 5, b"forged");
        let (mut file, _) = file(&[inner, b"true".to_vec()]);
        file[17] ^= 1;
        assert_eq!(all(&file), [(1, b"true".to_vec())]);
    }
}
