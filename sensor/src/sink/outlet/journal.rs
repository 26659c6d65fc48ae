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

use super::{
    delivered::Delivered,
    frame::{self, HEADER_BYTES},
};

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

#[cfg(test)]
mod tests;
