//! The thread that looks once a second.

use std::{
    io,
    path::Path,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Detector, Resource, Sample, Settings, Spike, busy::Processes, proc};

const SECOND: Duration = Duration::from_secs(1);
/// After a longer pause (the machine slept) rates mean nothing.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What a second brought.
#[derive(Clone, Debug)]
pub struct Tick {
    /// Values, in the order of [`Resource::ALL`].
    pub sample: Sample,
    /// Values from which each is beyond what is usual; `None` while that is being learned.
    pub thresholds: [Option<f64>; Resource::ALL.len()],
    /// Which spikes go on.
    pub going_on: [bool; Resource::ALL.len()],
    /// What there is to tell.
    pub spikes: Vec<Spike>,
}

/// Looks until it is dropped.
#[derive(Debug)]
pub struct Watch {
    /// Other settings; its end is the end.
    adjust: Option<Sender<Settings>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look. `clock` is nanoseconds since 1970.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(
        settings: Settings,
        clock: fn() -> u64,
        mut told: impl FnMut(Tick) + Send + 'static,
    ) -> io::Result<Self> {
        let (adjust, adjusted) = channel();
        let thread = thread::Builder::new()
            .name("resources".to_owned())
            .spawn(move || {
                let root = Path::new("/");
                let mut detector = Detector::new(settings);
                let (mut before, mut at) = (proc::read(root), Instant::now());
                let mut processes = Processes::default();
                let mut due = at + SECOND;
                loop {
                    match adjusted.recv_timeout(due.saturating_duration_since(Instant::now())) {
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return,
                        Ok(settings) => {
                            detector.adjust(settings);
                            continue;
                        }
                    }
                    let (now, counters) = (Instant::now(), proc::read(root));
                    due = (due + SECOND).max(now + SECOND / 2);
                    let passed = now - at;
                    let sample = counters.since(&before, passed.as_secs_f64());
                    let ticks = counters.ticks_since(&before);
                    (before, at) = (counters, now);
                    if passed > PAUSE_MAX {
                        continue;
                    }
                    let watched = [Resource::Cpu, Resource::Memory];
                    let was_beyond = watched.map(|resource| detector.is_beyond(resource));
                    let mut spikes = detector.second(clock(), &sample);
                    // Who does it is asked only while something goes on: a look at every process costs milliseconds.
                    if watched.iter().any(|resource| detector.is_beyond(*resource)) {
                        let present = Processes::read(root);
                        for (resource, was) in watched.into_iter().zip(was_beyond) {
                            if !detector.is_beyond(resource) || (resource == Resource::Cpu && !was)
                            {
                                continue;
                            }
                            let whole = match resource {
                                Resource::Cpu => ticks,
                                _ => pages(),
                            };
                            let by = present.since(&processes, resource, whole);
                            for spike in &mut spikes {
                                if spike.resource == resource && !by.is_empty() {
                                    spike.by.clone_from(&by);
                                }
                            }
                            detector.name(resource, by);
                        }
                        processes = present;
                    }
                    told(Tick {
                        sample,
                        thresholds: Resource::ALL.map(|resource| detector.threshold(resource)),
                        going_on: Resource::ALL.map(|resource| detector.is_going_on(resource)),
                        spikes,
                    });
                }
            })?;
        Ok(Self {
            adjust: Some(adjust),
            thread: Some(thread),
        })
    }
}

impl Watch {
    /// Has it judge by other settings; what it knows of the past stays.
    pub fn adjust(&self, settings: Settings) {
        if let Some(adjust) = &self.adjust {
            // A thread that panicked takes none.
            let _ = adjust.send(settings);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.adjust.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to tell.
            let _ = thread.join();
        }
    }
}

/// Pages of all memory.
#[cfg(target_os = "linux")]
fn pages() -> u64 {
    // SAFETY: takes a number and touches no memory of ours.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    u64::try_from(pages).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
const fn pages() -> u64 {
    0
}
