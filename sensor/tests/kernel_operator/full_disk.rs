//! A disk that is full under the spools: what memory holds is delivered, what is lost is counted with its reason, and a sink
//! whose receiver answers loses nothing.

use std::{
    collections::BTreeSet,
    ffi::CString,
    io,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam::channel::{Sender, bounded};
use sensor::{
    metrics::{Id, Metrics},
    sink::{
        message::{Message, Wants},
        outlet::{Bounds, Deliver, DeliveryError, Encode, OutletSpec, Outlets, Settings},
    },
};

use crate::{PATIENCE, made, until};

const SENT: u64 = 3000;
/// Of the disk, and of a message.
const DISK: &str = "size=1m";
const MESSAGE_BYTES: usize = 1000;
const MEMORY_BYTES: usize = 256 << 10;

/// From here on this thread and those that it starts see a small disk at `folder`, and nobody else does.
fn small_disk(folder: &Path) -> io::Result<()> {
    let folder = CString::new(folder.as_os_str().as_bytes())?;
    let of = |result: i32| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: takes a number; of this thread alone, which gets a copy of what it shared (unshare(2), CLONE_NEWNS and CLONE_FS).
    of(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let null = std::ptr::null();
    // SAFETY: the texts end with a zero and live across the calls; the others may be null for this change of propagation.
    of(unsafe {
        libc::mount(
            null,
            c"/".as_ptr(),
            null,
            libc::MS_REC | libc::MS_PRIVATE,
            null.cast(),
        )
    })?;
    let data = CString::new(DISK)?;
    // SAFETY: as above.
    of(unsafe {
        libc::mount(
            c"tmpfs".as_ptr(),
            folder.as_ptr(),
            c"tmpfs".as_ptr(),
            0,
            data.as_ptr().cast(),
        )
    })
}

struct Numbers;

impl Encode for Numbers {
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>) {
        if let Message::Alert(alert) = message {
            let mut parcel = alert.id.clone().into_bytes();
            parcel.resize(MESSAGE_BYTES, b'.');
            parcels.push(parcel);
        }
    }
}

/// What came, and whether the receiver takes anything.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<BTreeSet<u64>>>, Arc<AtomicBool>);

impl Receiver {
    fn has(&self) -> usize {
        self.0.lock().expect("lock").len()
    }
}

impl Deliver for Receiver {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        if !self.1.load(Ordering::Relaxed) {
            return (0, Err(DeliveryError::later("nobody is there")));
        }
        let mut came = self.0.lock().expect("lock");
        for parcel in parcels {
            let number = std::str::from_utf8(&parcel[..16]).expect("UTF-8");
            came.insert(u64::from_str_radix(number, 16).expect("as it was sent"));
        }
        (parcels.len(), Ok(()))
    }
}

fn start(outlets: &mut Outlets, name: &'static str, receiver: &Receiver) -> Sender<Message> {
    let (queue, inbox) = bounded(64);
    let spec = OutletSpec {
        name,
        folder: name.to_owned(),
        target: "a test".to_owned(),
        wants: Wants::ALERTS,
        encode: Box::new(Numbers),
        deliver: Box::new(receiver.clone()),
        batch: 100,
        gather: Duration::ZERO,
    };
    outlets.start(spec, inbox).expect("starts");
    queue
}

fn survives(folder: &Path) {
    small_disk(folder).expect("a disk of its own");
    let metrics = Metrics::new();
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let hears = Arc::clone(&said);
    let settings = Settings {
        folder: Some(folder.join("spool")),
        bounds: Bounds {
            memory_bytes: MEMORY_BYTES,
            disk_bytes: 64 << 20,
        },
        first_retry: Duration::from_millis(10),
        longest_retry: Duration::from_millis(100),
        ..Settings::default()
    };
    let say = Arc::new(move |line: &str| hears.lock().expect("lock").push(line.to_owned()));
    let mut outlets = Outlets::new(settings, &metrics, say);
    let (away, there) = (Receiver::default(), Receiver::default());
    there.1.store(true, Ordering::Relaxed);
    let queues = [
        start(&mut outlets, "syslog", &away),
        start(&mut outlets, "webhook", &there),
    ];
    let tell = |range: std::ops::Range<u64>| {
        for number in range {
            for queue in &queues {
                queue.send(made::alert(number)).expect("open");
            }
            // Not faster than it is taken: what memory holds of what is under way is another's matter.
            if number % 50 == 49 {
                until("the receiver that is there keeps up", || {
                    there.has() as u64 == number + 1
                });
            }
        }
    };
    let lost = |reason| metrics.value(Id::SinkLostParcelsTotal, &["syslog", reason]) as u64;
    let board = outlets.board();
    let waiting = || {
        let all = board.standings();
        let one = all.iter().find(|one| one.sink == "syslog");
        one.map_or(0, |one| one.level.parcels)
    };
    tell(0..SENT);
    until("the receiver that is there has everything", || {
        there.has() as u64 == SENT
    });
    until("every message waits or is lost", || {
        waiting() + lost("disk") == SENT
    });
    let (lost_then, waited) = (lost("disk"), waiting());
    println!("of {SENT}: {waited} wait, {lost_then} lost for want of disk");
    assert!(lost_then > 0, "the disk was not full");
    assert!(
        waited as usize * MESSAGE_BYTES > MEMORY_BYTES,
        "memory and disk hold it"
    );
    assert_eq!(lost("full"), 0, "the bounds were not reached");
    let about = |text: &str| {
        said.lock()
            .expect("lock")
            .iter()
            .any(|line| line.contains(text))
    };
    until("somebody is told", || {
        about("spool of syslog: No space left")
    });

    // The receiver comes back: everything that was not counted as lost arrives, and there is room again.
    away.1.store(true, Ordering::Relaxed);
    until("everything that waited", || {
        away.has() as u64 + lost_then == SENT
    });
    tell(SENT..SENT + 100);
    until("what came after that", || {
        let came = away.0.lock().expect("lock");
        (SENT..SENT + 100).all(|number| came.contains(&number))
    });
    drop(queues);
    let left = outlets.stop(PATIENCE);
    assert!(left.iter().all(|one| one.waiting == 0), "{left:?}");
    assert_eq!((lost("disk"), lost("full")), (lost_then, 0));
    assert_eq!(
        there.has() as u64,
        SENT + 100,
        "the other sink noticed nothing"
    );
}

#[test]
#[ignore = "kernel: needs root"]
fn a_full_disk_loses_what_it_says_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    // The namespace ends with the last thread that is in it.
    thread::spawn(move || survives(&path))
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
