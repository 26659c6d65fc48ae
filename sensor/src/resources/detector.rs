//! When something is a spike, and when it is over.
//!
//! A spike is beyond what is usual by so many robust standard deviations *and* by what matters (the least effect), for as
//! long as it takes to be told. It is over when it has been half as far for three times that: what flickers at the edge is one
//! spike. What goes on for longer than the window is what is usual now.

use super::{Busy, Resource, Sample, Usual, baseline::Baseline};

/// How to judge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Robust standard deviations beyond the median.
    pub deviations: f64,
    /// Seconds it must last.
    pub hold: u32,
    /// Seconds of the past that are what is usual.
    pub window: u32,
    /// Least rise of a share.
    pub least_share: f64,
    /// Least value of a rate, bytes a second. It must also be four times the median.
    pub least_bytes: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deviations: 6.0,
            hold: 10,
            window: 1800,
            least_share: 0.2,
            least_bytes: 20e6,
        }
    }
}

/// A rate below this many medians is no spike.
const TIMES: f64 = 4.0;

/// Where a spike stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has lasted long enough to be told.
    New,
    /// It has lasted four times as long as when it was told last.
    Grown,
    /// It is over.
    Over,
    /// It lasted longer than the window, and is what is usual now.
    Usual,
}

/// A spike.
#[derive(Clone, Debug, PartialEq)]
pub struct Spike {
    /// Of what.
    pub resource: Resource,
    /// Where it stands.
    pub phase: Phase,
    /// First and last second beyond, nanoseconds since 1970.
    pub span_ns: [u64; 2],
    /// Seconds beyond.
    pub seconds: u64,
    /// Greatest value.
    pub peak: f64,
    /// Mean of the seconds beyond.
    pub mean: f64,
    /// Standard deviations of that mean beyond the median.
    pub deviations: f64,
    /// What was usual before.
    pub usual: Usual,
    /// Who did it, most first, where that can be told.
    pub by: Vec<Busy>,
}

impl Spike {
    /// How much speaks for it, in powers of ten: by Cantelli's inequality, which holds for every distribution, a value `z` standard
    /// deviations above is as rare as 1 in 1 + z²; and half a power for each power of ten of seconds. Seconds are not
    /// independent, so they count no more than flows of one incident do.
    pub fn evidence(&self) -> f64 {
        let rare = (1.0 + self.deviations * self.deviations).log10().min(6.0);
        rare + (self.seconds.max(1) as f64).log10() / 2.0
    }

    /// One plain sentence with numbers.
    pub fn sentence(&self) -> String {
        let show = |value: f64| self.resource.show(value);
        let what = match self.resource {
            Resource::Cpu => "Processors of this box were",
            Resource::Memory => "Memory of this box was",
            Resource::DiskRead => "This box read from disk at",
            Resource::Network => "This box moved over the network",
        };
        let in_use = match self.resource {
            Resource::Cpu => " busy",
            Resource::Memory => " in use",
            Resource::DiskRead | Resource::Network => "",
        };
        let mut text = format!(
            "{what} {}{in_use} for {}, at most {}; usual here: {} to {}",
            show(self.mean),
            crate::time::words(self.seconds as f64),
            show(self.peak),
            show(self.usual.low),
            show(self.usual.high),
        );
        if let Some(first) = self.by.first() {
            text.push_str(&format!("; most of it by {first}"));
        }
        if self.phase == Phase::Usual {
            text.push_str("; it has lasted so long that it is what is usual now");
        }
        text
    }
}

/// What is going on of one resource.
#[derive(Clone, Debug)]
struct Going {
    spike: Spike,
    sum: f64,
    /// Seconds below the end, one after the other.
    calm: u32,
    /// Seconds at which it was told last.
    told: u64,
}

#[derive(Clone, Debug)]
struct Channel {
    resource: Resource,
    baseline: Baseline,
    usual: Option<Usual>,
    /// Seconds beyond, less two for each that was not.
    level: u32,
    going: Option<Going>,
    is_told: bool,
}

/// All resources.
#[derive(Clone, Debug)]
pub struct Detector {
    settings: Settings,
    channels: [Channel; Resource::ALL.len()],
}

impl Detector {
    /// Knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        let room = settings.window.max(1) as usize;
        Self {
            settings,
            channels: Resource::ALL.map(|resource| Channel {
                resource,
                baseline: Baseline::new(resource, room),
                usual: None,
                level: 0,
                going: None,
                is_told: false,
            }),
        }
    }

    /// Judges by other settings from now on; what is known of the past stays, as far as the window goes.
    pub fn adjust(&mut self, settings: Settings) {
        for channel in &mut self.channels {
            channel.baseline.resize(settings.window.max(1) as usize);
        }
        self.settings = settings;
    }

    /// Seconds before anything is judged.
    fn warm(&self) -> usize {
        (self.settings.hold * 6).clamp(60, self.settings.window.max(60)) as usize
    }

    /// Value from which a resource is beyond what is usual; `None` while that is being learned.
    pub fn threshold(&self, resource: Resource) -> Option<f64> {
        let usual = self.channels[resource as usize].usual?;
        Some(self.settings.from(resource, &usual, 1.0))
    }

    /// Whether a spike that was told goes on.
    pub const fn is_going_on(&self, resource: Resource) -> bool {
        self.channels[resource as usize].is_told
    }

    /// Whether a resource is beyond what is usual, told or not: the time to look who does it.
    pub const fn is_beyond(&self, resource: Resource) -> bool {
        self.channels[resource as usize].going.is_some()
    }

    /// Takes the values of one second, and answers what there is to tell.
    pub fn second(&mut self, now_ns: u64, sample: &Sample) -> Vec<Spike> {
        let (settings, warm) = (self.settings, self.warm());
        self.channels
            .iter_mut()
            .filter_map(|channel| {
                let value = sample.of(channel.resource)?;
                channel.second(&settings, warm, (now_ns, value))
            })
            .collect()
    }

    /// Says who did what goes on.
    pub fn name(&mut self, resource: Resource, by: Vec<Busy>) {
        if let Some(going) = &mut self.channels[resource as usize].going
            && !by.is_empty()
        {
            going.spike.by = by;
        }
    }
}

impl Settings {
    /// Value from which it is a spike; `part` of the way for its end.
    fn from(&self, resource: Resource, usual: &Usual, part: f64) -> f64 {
        let by_deviations = usual.at(resource, self.deviations * part);
        let by_effect = if resource.is_share() {
            usual.median + self.least_share * part
        } else {
            (usual.median * TIMES).max(self.least_bytes) * part
        };
        by_deviations.max(by_effect)
    }
}

impl Channel {
    fn second(
        &mut self,
        settings: &Settings,
        warm: usize,
        (now_ns, value): (u64, f64),
    ) -> Option<Spike> {
        let usual = match self.usual {
            // While something goes on, what is usual stays what it was.
            Some(usual) if self.going.is_some() => usual,
            _ => {
                self.usual = self.baseline.usual(warm);
                match self.usual {
                    Some(usual) => usual,
                    None => {
                        self.baseline.absorb(value);
                        return None;
                    }
                }
            }
        };
        let is_beyond = value >= settings.from(self.resource, &usual, 1.0);
        let Some(going) = &mut self.going else {
            if is_beyond {
                self.level = 1;
                self.going = Some(Going::new(self.resource, usual, (now_ns, value)));
                return self.told(settings);
            }
            self.baseline.absorb(value);
            return None;
        };
        let is_calm = value < settings.from(self.resource, &usual, 0.5);
        if is_beyond || (self.is_told && !is_calm) {
            going.add((now_ns, value));
        }
        going.calm = if is_calm { going.calm + 1 } else { 0 };
        if !self.is_told {
            self.level = if is_beyond {
                self.level + 1
            } else {
                self.level.saturating_sub(2)
            };
            if self.level == 0 {
                self.going = None;
                self.baseline.absorb(value);
            }
            return self.told(settings);
        }
        let is_over = going.calm >= settings.hold * 3;
        let is_usual = going.spike.seconds >= u64::from(settings.window);
        if is_over || is_usual {
            self.is_told = false;
            self.level = 0;
            if is_usual {
                self.baseline.forget();
                self.usual = None;
            }
            let phase = if is_over { Phase::Over } else { Phase::Usual };
            return self.going.take().map(|going| going.tell(phase));
        }
        if going.spike.seconds >= going.told * 4 {
            going.told = going.spike.seconds;
            return Some(going.clone().tell(Phase::Grown));
        }
        None
    }

    /// Tells what has lasted long enough.
    fn told(&mut self, settings: &Settings) -> Option<Spike> {
        let going = self
            .going
            .as_mut()
            .filter(|_| self.level >= settings.hold)?;
        self.is_told = true;
        going.told = going.spike.seconds;
        Some(going.clone().tell(Phase::New))
    }
}

impl Going {
    fn new(resource: Resource, usual: Usual, (now_ns, value): (u64, f64)) -> Self {
        let mut going = Self {
            spike: Spike {
                resource,
                phase: Phase::New,
                span_ns: [now_ns; 2],
                seconds: 0,
                peak: value,
                mean: value,
                deviations: 0.0,
                usual,
                by: Vec::new(),
            },
            sum: 0.0,
            calm: 0,
            told: 0,
        };
        going.add((now_ns, value));
        going
    }

    fn add(&mut self, (now_ns, value): (u64, f64)) {
        let spike = &mut self.spike;
        spike.span_ns[1] = now_ns;
        spike.seconds += 1;
        spike.peak = spike.peak.max(value);
        self.sum += value;
        spike.mean = self.sum / spike.seconds as f64;
        spike.deviations = spike.usual.deviations(spike.resource, spike.mean);
    }

    fn tell(self, phase: Phase) -> Spike {
        Spike {
            phase,
            ..self.spike
        }
    }
}
