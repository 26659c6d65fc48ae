//! What the sensor remembers of ordinary traffic: a bounded sample in which recent rows count more and no host counts
//! for much.
//!
//! Weighted sampling without replacement (Efraimidis and Spirakis 2006) with weights that grow exponentially in traffic
//! time (forward decay: Cormode et al. 2009). A row's key is `rate x time - ln(-ln u)`; the rows with the greatest keys
//! stay. Deterministic from the seed and the order of rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read as _, Write as _},
    path::Path,
};

use model::Rows;
use sensor_ebpf::flow::TimeNs;

use crate::features::{self, MODEL_COUNT};

/// Bytes of an address, as keys of flows hold it.
pub type Host = [u8; 16];
/// Row as the model sees it.
pub type Values = [f32; MODEL_COUNT];

/// Order among rows: the key as bits that sort as the numbers do, then the order of arrival.
type Place = (u64, u64);

/// The sample.
#[derive(Debug)]
pub struct Reservoir {
    capacity: usize,
    per_host: usize,
    /// Decay per nanosecond.
    rate: f64,
    origin: Option<TimeNs>,
    state: u64,
    arrived: u64,
    rows: BTreeMap<Place, (Host, Box<Values>)>,
    hosts: BTreeMap<Host, BTreeSet<Place>>,
    capped: u64,
    /// Kept with the rows in a file: when they were last trained on.
    trained: TimeNs,
}

/// First bytes of a file.
const MAGIC: &[u8; 8] = b"adresv1\n";

impl Reservoir {
    /// Empty. A row counts half as much as one that is `half_life_ns` younger; a source host has at most `host_share` of
    /// the rows.
    pub fn new(capacity: usize, half_life_ns: u64, host_share: f64, seed: u64) -> Self {
        let capacity = capacity.max(1);
        Self {
            capacity,
            per_host: ((capacity as f64 * host_share) as usize).max(1),
            rate: std::f64::consts::LN_2 / half_life_ns.max(1) as f64,
            origin: None,
            state: seed ^ 0x6a09_e667_f3bc_c908,
            arrived: 0,
            rows: BTreeMap::new(),
            hosts: BTreeMap::new(),
            capped: 0,
            trained: 0,
        }
    }

    /// Offers a row of this source host at this time.
    pub fn offer(&mut self, host: Host, time: TimeNs, values: &Values) {
        if self.origin.is_some_and(|origin| time < origin) {
            // The clock was set back behind everything that is held: by these keys nothing would ever be younger.
            self.rows.clear();
            self.hosts.clear();
            self.origin = None;
        }
        let origin = *self.origin.get_or_insert(time);
        let age = time.saturating_sub(origin) as f64;
        let key = self.rate * age - (-self.unit().ln()).ln();
        self.arrived += 1;
        self.put((ordered(key), self.arrived), host, Box::new(*values));
    }

    fn put(&mut self, place: Place, host: Host, values: Box<Values>) {
        let own = self.hosts.entry(host).or_default();
        if own.len() >= self.per_host {
            self.capped += 1;
            // Its least row makes room, or the new one stays out: no other host loses any.
            match own.first().copied() {
                Some(least) if least < place => {
                    own.remove(&least);
                    self.rows.remove(&least);
                }
                _ => return,
            }
        }
        self.hosts.entry(host).or_default().insert(place);
        self.rows.insert(place, (host, values));
        if self.rows.len() > self.capacity
            && let Some((least, (host, _))) = self.rows.pop_first()
            && let Some(own) = self.hosts.get_mut(&host)
        {
            own.remove(&least);
            if own.is_empty() {
                self.hosts.remove(&host);
            }
        }
    }

    /// Forgets what this host taught.
    pub fn forget(&mut self, host: &Host) {
        for place in self.hosts.remove(host).unwrap_or_default() {
            self.rows.remove(&place);
        }
    }

    /// Rows held.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows of hosts that had their share.
    pub const fn capped(&self) -> u64 {
        self.capped
    }

    /// A copy to train on, in order of arrival: the order of a file or of keys is no matter.
    pub fn snapshot(&self) -> Rows {
        let mut order: Vec<_> = self
            .rows
            .iter()
            .map(|(place, row)| (place.1, row))
            .collect();
        order.sort_unstable_by_key(|(arrived, _)| *arrived);
        let mut rows = Rows::with_columns(MODEL_COUNT);
        for (_, (_, values)) in order {
            rows.push(&values[..]);
        }
        rows
    }

    /// Above 0, below 1 (SplitMix64; Steele, Lea, Flood 2014).
    fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((mixed >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// When it was last trained on; 0 for never.
    pub(super) const fn trained(&self) -> TimeNs {
        self.trained
    }

    /// It is trained on now.
    pub(super) const fn train(&mut self, now: TimeNs) {
        self.trained = now;
    }

    /// Writes everything beside its place and renames it: a crash leaves the old file or the new one.
    ///
    /// # Errors
    /// What the system said.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        self.image().write(path)
    }

    /// Everything as it is written, to be written elsewhere: a copy, and no more.
    pub fn image(&self) -> Image {
        let mut bytes = Vec::with_capacity(128 + self.rows.len() * (32 + 4 * MODEL_COUNT));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(features::schema().digest().as_bytes());
        for number in [
            self.origin.unwrap_or(0),
            self.state,
            self.arrived,
            self.trained,
            self.rows.len() as u64,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for ((key, arrived), (host, values)) in &self.rows {
            bytes.extend_from_slice(&key.to_le_bytes());
            bytes.extend_from_slice(&arrived.to_le_bytes());
            bytes.extend_from_slice(host);
            for value in values.iter() {
                bytes.extend_from_slice(&value.to_le_bytes());
            }
        }
        Image(bytes)
    }

    /// Takes in what was saved. A file that is damaged or of another schema changes nothing.
    ///
    /// # Errors
    /// What the system said; `InvalidData` for a file that cannot be used.
    pub fn restore(&mut self, path: &Path) -> io::Result<()> {
        const ROW: usize = 32 + 4 * MODEL_COUNT;
        const NUMBERS: usize = 5 * 8;
        let unusable = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let most = 1024 + (self.capacity as u64 + 1) * ROW as u64 * 4;
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
        let digest = features::schema().digest();
        let header = MAGIC.len() + digest.len() + NUMBERS;
        if bytes.len() < header + 8 || !bytes.starts_with(MAGIC) {
            return Err(unusable("no reservoir"));
        }
        let (bytes, sum) = bytes.split_at(bytes.len() - 8);
        if checksum(bytes).to_le_bytes() != sum {
            return Err(unusable("damaged"));
        }
        if &bytes[MAGIC.len()..MAGIC.len() + digest.len()] != digest.as_bytes() {
            return Err(unusable("of other features"));
        }
        let number = |at: usize| {
            let eight = bytes[at..at + 8].try_into().expect("eight bytes");
            u64::from_le_bytes(eight)
        };
        let body = &bytes[header..];
        let base = header - NUMBERS;
        if body.len() % ROW != 0 || number(base + 32) != (body.len() / ROW) as u64 {
            return Err(unusable("of another length"));
        }
        self.origin = (number(base) > 0).then(|| number(base));
        self.state = number(base + 8);
        self.arrived = number(base + 16);
        self.trained = number(base + 24);
        self.rows.clear();
        self.hosts.clear();
        for at in (header..bytes.len()).step_by(ROW) {
            let host = bytes[at + 16..at + 32].try_into().expect("sixteen bytes");
            let mut values = Box::new([0.0; MODEL_COUNT]);
            let floats = bytes[at + 32..at + ROW].as_chunks::<4>().0;
            for (value, four) in values.iter_mut().zip(floats) {
                *value = f32::from_le_bytes(*four);
            }
            self.put((number(at), number(at + 8)), host, values);
        }
        Ok(())
    }
}

/// What is written of a reservoir, but for its checksum.
#[derive(Debug)]
pub struct Image(Vec<u8>);

impl Image {
    /// Writes it beside its place and renames it.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(mut self, path: &Path) -> io::Result<()> {
        let sum = checksum(&self.0);
        self.0.extend_from_slice(&sum.to_le_bytes());
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let written = fs::File::create(&beside).and_then(|mut file| {
            file.write_all(&self.0)?;
            file.sync_all()?;
            fs::rename(&beside, path)
        });
        if written.is_err() {
            // The first error is the one to tell; a part that cannot be removed is the smaller evil.
            let _ = fs::remove_file(&beside);
        }
        written
    }
}

/// Bits that sort as the numbers do.
const fn ordered(number: f64) -> u64 {
    let bits = number.to_bits();
    if bits >> 63 == 0 {
        bits | 1 << 63
    } else {
        !bits
    }
}

/// FNV-1a, 64 bits: against damage, not against forgery.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000_000;

    fn host(number: u8) -> Host {
        let mut host = [0; 16];
        host[15] = number;
        host
    }

    #[test]
    fn one_talker_has_its_share_and_no_more() {
        let mut reservoir = Reservoir::new(1000, 24 * HOUR, 0.1, 1);
        for step in 0..20_000_u64 {
            reservoir.offer(host(1), step * 1000, &[1.0; MODEL_COUNT]);
            if step % 10 == 0 {
                reservoir.offer(
                    host(2 + (step / 10 % 50) as u8),
                    step * 1000,
                    &[0.0; MODEL_COUNT],
                );
            }
        }
        let rows = reservoir.snapshot();
        let talker = rows.iter().filter(|row| row[0] == 1.0).count();
        assert!(
            rows.len() == 1000 && talker == 100,
            "{talker} of {}",
            rows.len()
        );
        reservoir.forget(&host(1));
        assert!(reservoir.snapshot().iter().all(|row| row[0] == 0.0));
    }

    #[test]
    fn older_rows_fade_at_the_half_life() {
        let mut reservoir = Reservoir::new(2000, HOUR, 1.0, 3);
        for step in 0..40_000_u64 {
            let hour = (step / 10_000) as f32;
            reservoir.offer(
                host((step % 200) as u8),
                step * HOUR / 10_000,
                &[hour; MODEL_COUNT],
            );
        }
        let mut counts = [0_usize; 4];
        for row in &reservoir.snapshot() {
            counts[row[0] as usize] += 1;
        }
        // Nearly 8 : 4 : 2 : 1, less for those that are all taken.
        for pair in counts.windows(2) {
            let ratio = pair[1] as f64 / pair[0] as f64;
            assert!((1.4..2.8).contains(&ratio), "{counts:?}");
        }
    }

    #[test]
    fn what_was_saved_goes_on_as_if_nothing_had_been() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reservoir.bin");
        let feed = |reservoir: &mut Reservoir, from: u64, to: u64| {
            for step in from..to {
                let values = [step as f32; MODEL_COUNT];
                reservoir.offer(host((step % 7) as u8), step * 1_000_000, &values);
            }
        };
        let new = || Reservoir::new(300, HOUR, 0.3, 5);
        let mut whole = new();
        feed(&mut whole, 0, 2000);
        let mut part = new();
        feed(&mut part, 0, 1000);
        part.save(&path).unwrap();
        let mut restored = new();
        restored.restore(&path).unwrap();
        feed(&mut restored, 1000, 2000);
        assert_eq!(restored.snapshot(), whole.snapshot());
        // Damage anywhere is seen, and leaves what was there.
        let bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(997) {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(restored.restore(&path).is_err(), "byte {at}");
        }
        for length in [0, 7, 90, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(restored.restore(&path).is_err(), "length {length}");
        }
        assert_eq!(restored.snapshot(), whole.snapshot());
    }
}
