//! The part of a spool that is on disk: files of frames, written at the end, read from the beginning, deleted when
//! everything in them was delivered.
//!
//! ```text
//! spool/<outlet>/0000000000000000-5e1f….parcels    frames 0, 1, 2, … with this salt
//! spool/<outlet>/00000000000004d2-c07a….parcels    frames 1234, …
//! spool/<outlet>/delivered                         how far delivery has come
//! ```
//!
//! A process that is killed loses nothing that `append` returned from: the bytes are the kernel's by then. What a power
//! failure may take is what was written since the last `sync`.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::frame::{self, HEADER_BYTES};

/// Read at once.
const CHUNK_BYTES: usize = 256 << 10;

const ENDING: &str = ".parcels";

/// Parcels on disk, first in first out.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    segments: VecDeque<Segment>,
    /// Of the last segment; none is open until something is appended.
    writer: Option<File>,
    delivered: Delivered,
    /// Number of the next parcel that is appended.
    next: u64,
    /// Number of the next parcel that is read.
    read: u64,
    /// Place of it in its segment.
    read_at: usize,
    segment_bytes: u64,
    /// Whether something was written since the last sync.
    dirty: bool,
    /// Parcels that were there and cannot be read.
    damaged: u64,
}

/// A file of frames.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    salt: u64,
    /// Number of its first frame.
    first: u64,
    /// Bytes of whole frames.
    length: u64,
}

/// Why something could not be appended.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// The bound is reached.
    Full,
    /// The file system does not want it.
    Failed(io::Error),
}

impl Journal {
    /// Opens the folder, making it where there is none, and goes on where the last process ended, however it ended.
    ///
    /// # Errors
    /// The folder cannot be made, read or written.
    pub(super) fn open(folder: &Path, bound_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let delivered = Delivered::open(&folder.join("delivered"))?;
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if let Some((first, salt)) = parse_name(&path) {
                names.push((first, salt, path));
            }
        }
        names.sort();
        let mut journal = Self {
            folder: folder.to_owned(),
            segments: VecDeque::new(),
            writer: None,
            next: delivered.below,
            read: delivered.below,
            read_at: 0,
            // Small enough that the room of delivered parcels comes back soon, large enough to be few.
            segment_bytes: (bound_bytes / 16).clamp(16 << 10, 4 << 20),
            dirty: false,
            damaged: 0,
            delivered,
        };
        for (at, (first, salt, path)) in names.iter().enumerate() {
            let following = names.get(at + 1).map(|name| name.0);
            journal.take_over(*first, *salt, path, following)?;
        }
        if let Some(first) = journal.segments.front().map(|segment| segment.first)
            && first > journal.read
        {
            // Files that somebody removed; where the note of what was delivered is gone too, nobody knows.
            if journal.delivered.below > 0 {
                journal.damaged += first - journal.read;
            }
            journal.read = first;
        }
        Ok(journal)
    }

    /// A file that an earlier process left.
    fn take_over(
        &mut self,
        first: u64,
        salt: u64,
        path: &Path,
        following: Option<u64>,
    ) -> io::Result<()> {
        let bytes = fs::read(path)?;
        let (mut whole, mut least) = (0, first);
        while let Some(found) = frame::next(&bytes, whole, salt, least) {
            (whole, least) = (found.end, found.sequence + 1);
        }
        let end = following.unwrap_or(least).max(least);
        self.next = self.next.max(end);
        if following.is_none() && whole < bytes.len() {
            // The write that was cut short when the process ended: a parcel that nobody has.
            OpenOptions::new()
                .write(true)
                .open(path)?
                .set_len(whole as u64)?;
            self.damaged += 1;
        }
        // One without frames would stand in the way of another that begins with the same number.
        let has_nothing = least == first && following.is_none_or(|following| following == first);
        if has_nothing || end <= self.delivered.below {
            return fs::remove_file(path);
        }
        let length = if following.is_none() {
            whole
        } else {
            bytes.len()
        };
        self.segments.push_back(Segment {
            path: path.to_owned(),
            salt,
            first,
            length: length as u64,
        });
        Ok(())
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// Parcels on disk that were not read yet.
    pub(super) const fn unread(&self) -> u64 {
        self.next - self.read
    }

    /// Parcels that were on disk and could not be read, since this was asked last.
    pub(super) const fn take_damaged(&mut self) -> u64 {
        let damaged = self.damaged;
        self.damaged = 0;
        damaged
    }

    /// Writes a parcel behind the others, and gives its number.
    ///
    /// # Errors
    /// No room below the bound, or none that the file system would give.
    pub(super) fn append(&mut self, parcel: &[u8], bound_bytes: u64) -> Result<u64, Unwritten> {
        let framed = (HEADER_BYTES + parcel.len()) as u64;
        if self.bytes() + framed > bound_bytes || parcel.len() > frame::LONGEST_BYTES {
            return Err(Unwritten::Full);
        }
        let is_full = self
            .segments
            .back()
            .is_some_and(|segment| segment.length + framed > self.segment_bytes.max(framed));
        if self.writer.is_none() || is_full {
            self.begin_segment().map_err(Unwritten::Failed)?;
        }
        let number = self.next;
        let (Some(segment), Some(writer)) = (self.segments.back_mut(), &mut self.writer) else {
            return Err(Unwritten::Full);
        };
        let mut bytes = Vec::new();
        frame::push(&mut bytes, segment.salt, number, parcel);
        if let Err(error) = writer.write_all(&bytes) {
            // Half a frame must not lie between whole ones; if even this fails, the next frame goes to a new file.
            if writer.set_len(segment.length).is_err() {
                self.writer = None;
            }
            return Err(Unwritten::Failed(error));
        }
        segment.length += framed;
        self.next += 1;
        self.dirty = true;
        Ok(number)
    }

    /// Counts everything on disk as read: it is in memory as well.
    pub(super) fn skip_to_end(&mut self) {
        self.read = self.next;
        self.read_at = self
            .segments
            .back()
            .map_or(0, |segment| segment.length as usize);
    }

    /// Reads parcels on from where it stopped, some and not above `most_bytes` unless one alone is.
    ///
    /// # Errors
    /// A file cannot be read; what follows it can.
    pub(super) fn fetch(
        &mut self,
        most: usize,
        most_bytes: usize,
    ) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let mut found = Vec::new();
        let mut found_bytes = 0;
        while self.unread() > 0 && found.len() < most && found_bytes < most_bytes {
            let Some(at) = self.segment_of(self.read) else {
                self.damaged += self.unread();
                self.skip_to_end();
                break;
            };
            let segment = &self.segments[at];
            let end = self
                .segments
                .get(at + 1)
                .map_or(self.next, |next| next.first);
            let from = if self.read == segment.first {
                0
            } else {
                self.read_at
            };
            let whole = segment.length as usize;
            let has_frame = |chunk: &[u8]| frame::next(chunk, 0, segment.salt, self.read).is_some();
            let chunk =
                read_part(&segment.path, from, whole.min(from + CHUNK_BYTES)).and_then(|chunk| {
                    // Damage, or a parcel longer than the chunk, wants the rest of the file.
                    if chunk.len() < CHUNK_BYTES || has_frame(&chunk) {
                        Ok(chunk)
                    } else {
                        read_part(&segment.path, from, whole)
                    }
                });
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    self.damaged += end - self.read;
                    (self.read, self.read_at) = (end, 0);
                    return if found.is_empty() {
                        Err(error)
                    } else {
                        Ok(found)
                    };
                }
            };
            let mut place = 0;
            while found.len() < most && found_bytes < most_bytes {
                let Some(frame) = frame::next(&chunk, place, segment.salt, self.read) else {
                    break;
                };
                if frame.sequence >= end {
                    break;
                }
                self.damaged += frame.sequence - self.read;
                self.read = frame.sequence + 1;
                place = frame.end;
                found_bytes += frame.parcel.len();
                found.push((frame.sequence, frame.parcel.to_vec()));
            }
            self.read_at = from + place;
            if place == 0 {
                // Nothing whole in the rest of this file.
                self.damaged += end - self.read;
                (self.read, self.read_at) = (end, 0);
            } else if self.read == end {
                self.read_at = 0;
            }
        }
        Ok(found)
    }

    /// Everything below this number was delivered: files with nothing else leave.
    ///
    /// # Errors
    /// That could not be written down; a restart will deliver some of it again.
    pub(super) fn deliver_below(&mut self, number: u64) -> io::Result<()> {
        if number <= self.delivered.below {
            return Ok(());
        }
        let result = self.delivered.write(number);
        while let Some(first) = self.segments.front() {
            let end = self.segments.get(1).map_or(self.next, |next| next.first);
            let is_growing = self.segments.len() == 1
                && self.writer.is_some()
                && first.length < self.segment_bytes;
            if end > number || is_growing {
                break;
            }
            if self.segments.len() == 1 {
                self.writer = None;
                self.read_at = 0;
            }
            // One that cannot be deleted is asked for again at the next start.
            let _ = fs::remove_file(&first.path);
            self.segments.pop_front();
        }
        result
    }

    /// Removes the last file too where everything in it was delivered: nothing more comes.
    pub(super) fn close(&mut self) {
        self.writer = None;
        if self.delivered.below == self.next {
            for segment in self.segments.drain(..) {
                // The next start tries again.
                let _ = fs::remove_file(segment.path);
            }
        }
    }

    /// A handle to bring what was written to the disk itself, if there is something; without the lock that writing needs.
    pub(super) fn take_unsynced(&mut self) -> Option<File> {
        if !self.dirty {
            return None;
        }
        self.dirty = false;
        self.writer.as_ref()?.try_clone().ok()
    }

    fn segment_of(&self, number: u64) -> Option<usize> {
        let after = self
            .segments
            .iter()
            .position(|segment| segment.first > number)
            .unwrap_or(self.segments.len());
        after.checked_sub(1)
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        // From the system's randomness: what makes hash maps hard to attack makes a salt.
        let salt = RandomState::new().build_hasher().finish();
        let path = self
            .folder
            .join(format!("{:016x}-{salt:016x}{ENDING}", self.next));
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)?;
        self.writer = Some(file);
        if self.unread() == 0 {
            self.read_at = 0;
        }
        self.segments.push_back(Segment {
            path,
            salt,
            first: self.next,
            length: 0,
        });
        Ok(())
    }
}

fn parse_name(path: &Path) -> Option<(u64, u64)> {
    let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?;
    let (first, salt) = name.split_once('-')?;
    Some((
        u64::from_str_radix(first, 16).ok()?,
        u64::from_str_radix(salt, 16).ok()?,
    ))
}

/// The bytes of a file from one place to another.
fn read_part(path: &Path, from: usize, end: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from as u64))?;
    let mut bytes = Vec::new();
    file.take(end.saturating_sub(from) as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How far delivery has come, in two places written by turns, so that a write cut short leaves the other.
#[derive(Debug)]
struct Delivered {
    file: File,
    /// Every parcel below this number was delivered.
    below: u64,
    turn: u64,
}

impl Delivered {
    /// Far enough apart to be in different sectors.
    const APART_BYTES: u64 = 4096;

    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let slot = |at: usize| {
            let slot = bytes.get(at..at + 16)?;
            let number = u64::from_le_bytes(slot[..8].try_into().ok()?);
            let check = u64::from_le_bytes(slot[8..].try_into().ok()?);
            (check == !number).then_some(number)
        };
        let below = [slot(0), slot(Self::APART_BYTES as usize)]
            .into_iter()
            .flatten()
            .max()
            .unwrap_or(0);
        Ok(Self {
            file,
            below,
            turn: 0,
        })
    }

    fn write(&mut self, below: u64) -> io::Result<()> {
        self.below = below;
        self.turn += 1;
        let mut slot = below.to_le_bytes().to_vec();
        slot.extend_from_slice(&(!below).to_le_bytes());
        self.file
            .seek(SeekFrom::Start(self.turn % 2 * Self::APART_BYTES))?;
        self.file.write_all(&slot)
    }
}

#[cfg(test)]
mod tests {
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
}
