//! What a live sensor looks after beside the packets: its own machine, and threat lists.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    cli::{
        fault::{Fault, code},
        intel::limits,
        setup::Setup,
    },
    config::Format,
    intel::{Event, Keeper, Loss},
    metrics::{Id, Metrics},
    pipeline::Post,
    resources::{Phase, Resource, Settings, Spike, Tick, Watch},
    score::Severity,
    sink::{alert::Alert, escape, message::Message, table::Style},
    time::{self, Stamp},
};

/// Lists are read again after this many looks without a change: entries expire.
const LOOKS: u32 = 2160;

/// Begins to watch the machine itself, where it is Linux and that is wanted.
pub(super) fn resources(
    setup: &Setup,
    post: &Post,
    metrics: &Metrics,
    to_stdout: bool,
) -> Result<Option<Watch>, Fault> {
    let wanted = &setup.config.resources;
    if !wanted.enabled || !cfg!(target_os = "linux") {
        return Ok(None);
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match name.trim() {
        "" => "this box".to_owned(),
        name => name.to_owned(),
    };
    let (post, metrics) = (post.clone(), metrics.clone());
    let says = (!to_stdout).then_some(setup.config.output.format);
    let tell = move |tick: Tick| {
        report(&metrics, &tick);
        for spike in &tick.spikes {
            let alert = Alert::of_spike(spike, &host);
            if let Some(format) = says {
                say(format, spike, &alert);
            }
            post.offer(&Message::Alert(Arc::new(alert)));
        }
    };
    Watch::start(spikes(setup), time::now, tell)
        .map(Some)
        .map_err(|error| Fault::new(code::FAILED, format!("cannot watch this machine: {error}")))
}

/// When something of the machine is a spike.
pub(super) fn spikes(setup: &Setup) -> Settings {
    let wanted = &setup.config.resources;
    Settings {
        deviations: wanted.deviations,
        hold: wanted.hold.as_secs() as u32,
        window: wanted.window.as_secs() as u32,
        least_share: wanted.least_share,
        least_bytes: wanted.least_bytes as f64,
    }
}

fn report(metrics: &Metrics, tick: &Tick) {
    let result = if tick.sample.is_empty() {
        "unknown"
    } else {
        "read"
    };
    metrics.add(Id::ResourceSamplesTotal, &[result], 1.0);
    for (at, resource) in Resource::ALL.into_iter().enumerate() {
        let id = match resource {
            Resource::Cpu => Id::ResourceCpuRatio,
            Resource::Memory => Id::ResourceMemoryRatio,
            Resource::DiskRead => Id::ResourceDiskReadBytes,
            Resource::Network => Id::ResourceNetworkBytes,
        };
        if let Some(value) = tick.sample.of(resource) {
            metrics.set(id, &[], value);
        }
        if let Some(threshold) = tick.thresholds[at] {
            metrics.set(Id::ResourceThreshold, &[resource.name()], threshold);
        }
        let going_on = f64::from(u8::from(tick.going_on[at]));
        metrics.set(Id::ResourceSpike, &[resource.name()], going_on);
    }
    for spike in tick.spikes.iter().filter(|spike| spike.phase == Phase::New) {
        metrics.add(Id::ResourceSpikesTotal, &[spike.resource.name()], 1.0);
    }
}

/// Says a spike where incidents are said.
fn say(format: Format, spike: &Spike, alert: &Alert) {
    let line = match format {
        Format::Json => serde_json::to_string(alert).unwrap_or_default(),
        _ => {
            let (style, severity): (_, Severity) = (Style::stdout(), alert.severity);
            let over = match spike.phase {
                Phase::Over => "over: ",
                Phase::New | Phase::Grown | Phase::Usual => "",
            };
            format!(
                "{}  {}  {}: {over}{}",
                Stamp(alert.last_ns).clock(),
                style.severity(severity, &format!("{severity:8}")),
                style.bold(&alert.kind),
                // A process calls itself what it likes.
                escape::terminal(&alert.sentence)
            )
        }
    };
    println!("{line}");
}

/// Threat lists and the thread that looks after them; it ends when this is dropped.
pub(super) struct Intel {
    keeper: Arc<Keeper>,
    metrics: Metrics,
    quiet: bool,
    /// Milliseconds between two looks.
    every_ms: Arc<AtomicU64>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Intel {
    pub(super) fn keeper(&self) -> Arc<Keeper> {
        Arc::clone(&self.keeper)
    }

    /// Reads all lists again; `changed`: other ones, perhaps, by other rules.
    pub(super) fn read(&self, setup: &Setup, changed: bool) {
        let wanted = &setup.config.intel;
        let events = if changed {
            let every_ms = wanted.check_every.as_millis() as u64;
            self.every_ms.store(every_ms, Ordering::Relaxed);
            let before = self.keeper.current();
            let events = (self.keeper).set(
                &wanted.lists,
                &wanted.allow_lists,
                limits(setup),
                time::now(),
            );
            // One that is listed no more holds nothing.
            for list in before.lists() {
                self.metrics.set(Id::IntelEntries, &[&list.name], 0.0);
            }
            events
        } else {
            self.keeper.look(time::now(), true)
        };
        tell(&self.keeper, &events, &self.metrics, self.quiet);
    }
}

impl Drop for Intel {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to tell.
            let _ = thread.join();
        }
    }
}

/// Reads threat lists, if there are any, and looks after them from then on. A list that cannot be used is said, and is no
/// reason not to watch.
pub(super) fn intel(setup: &Setup, metrics: &Metrics) -> Result<Intel, Fault> {
    let wanted = &setup.config.intel;
    let (keeper, events) = Keeper::open(
        &wanted.lists,
        &wanted.allow_lists,
        limits(setup),
        time::now(),
    );
    let keeper = Arc::new(keeper);
    let quiet = setup.quiet;
    tell(&keeper, &events, metrics, quiet);
    let failed = |error| Fault::new(code::FAILED, format!("cannot look after lists: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let (end, mut ended) = oneshot::channel::<()>();
    let every_ms = Arc::new(AtomicU64::new(wanted.check_every.as_millis() as u64));
    let (kept, told, every) = (Arc::clone(&keeper), metrics.clone(), Arc::clone(&every_ms));
    let thread = thread::Builder::new()
        .name("intel".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let mut looks = 0_u32;
                loop {
                    let wait = Duration::from_millis(every.load(Ordering::Relaxed));
                    tokio::select! {
                        _ = &mut ended => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                    looks = looks.wrapping_add(1);
                    let events = kept.look(time::now(), looks.is_multiple_of(LOOKS));
                    tell(&kept, &events, &told, quiet);
                }
            });
        })
        .map_err(failed)?;
    Ok(Intel {
        keeper,
        metrics: metrics.clone(),
        quiet,
        every_ms,
        end: Some(end),
        thread: Some(thread),
    })
}

/// Says what became of lists, in words and in numbers.
fn tell(keeper: &Keeper, events: &[Event], metrics: &Metrics, quiet: bool) {
    if events.is_empty() {
        return;
    }
    let lists = keeper.current();
    for event in events {
        let (result, line) = match event {
            Event::Read { list, entries } => {
                let info = lists.lists().iter().find(|info| info.name == *list);
                let worth_a_look = info.map_or(0, |info| {
                    let warned = info.losses.each().filter(|(loss, _)| loss.is_warning());
                    warned.map(|(_, number)| number).sum()
                });
                let warning = if worth_a_look > 0 {
                    format!(
                        "; warning: {worth_a_look} entries refused or not readable (`anomaly-detect intel check` tells)"
                    )
                } else {
                    String::new()
                };
                (
                    "read",
                    format!("threat list {list}: {entries} entries{warning}"),
                )
            }
            Event::Refused { why, kept, .. } => {
                let kept = if *kept {
                    "; what it said before stays"
                } else {
                    ""
                };
                ("refused", format!("warning: threat list {why}{kept}"))
            }
        };
        metrics.add(Id::IntelReloadsTotal, &[result], 1.0);
        if !quiet {
            eprintln!("{}", escape::terminal(&line));
        }
    }
    let mut unused = [0_u64; Loss::ALL.len()];
    for list in lists.lists() {
        let entries = list.prefixes + list.domains + list.fingerprints;
        metrics.set(Id::IntelEntries, &[&list.name], entries as f64);
        for (loss, number) in list.losses.each() {
            unused[loss as usize] += number;
        }
    }
    for loss in Loss::ALL {
        let number = unused[loss as usize] as f64;
        metrics.set(Id::IntelUnusedEntries, &[loss.name()], number);
    }
}
