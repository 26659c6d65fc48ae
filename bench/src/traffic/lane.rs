//! Sending: each lane is a CPU that runs a program on live frames, which redirects them out of an interface. A veth
//! delivers what CPU n sends on receive queue n.

use std::{
    error::Error,
    os::fd::{AsFd as _, BorrowedFd},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use aya::{EbpfLoader, maps::Array, programs::Xdp};
use sensor::capture::{
    Stop,
    xdp::{bpf, interface_index},
};

use super::{
    frame::{LENGTH_MAX, Slot},
    mix::{self, Mix},
};
use crate::netns::pin;

/// What is sent, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) mix: Mix,
    pub(crate) flows: u32,
    pub(crate) seed: u64,
    /// Packets a second of all lanes together; 0 for as many as possible.
    pub(crate) rate: u64,
    /// CPUs that send.
    pub(crate) lanes: u32,
}

/// What a lane sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) seconds: f64,
}

/// Frames of one system call where there is no rate to keep.
const BURST: u32 = 1 << 17;
/// System calls a second at a rate.
const BURSTS_PER_SECOND: u64 = 50;

/// Sends out of `interface` of the calling thread's namespace until told to stop, and at most `packets`, from all lanes at once.
/// `enter` brings a new thread into that namespace.
pub(crate) fn send(
    object: &[u8],
    interface: &str,
    plan: &Plan,
    packets: u64,
    stop: &AtomicBool,
    enter: &(impl Fn() + Sync),
) -> Result<Sent, Box<dyn Error>> {
    let out = interface_index(interface)?;
    let lanes: Vec<Result<Sent, String>> = thread::scope(|scope| {
        let lane = |lane| {
            move || {
                enter();
                pin(lane as usize);
                one(object, out, plan, lane, packets, stop).map_err(|error| error.to_string())
            }
        };
        let threads: Vec<_> = (0..plan.lanes).map(|at| scope.spawn(lane(at))).collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|lane| lane.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut sum = Sent::default();
    for lane in lanes {
        let lane = lane?;
        sum.packets += lane.packets;
        sum.seconds = sum.seconds.max(lane.seconds);
    }
    Ok(sum)
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Progress {
    sent: u64,
    next: u32,
    round: u32,
}

// SAFETY: `repr(C)`, only integers, no padding.
unsafe impl aya::Pod for Progress {}

fn one(
    object: &[u8],
    out: u32,
    plan: &Plan,
    lane: u32,
    packets: u64,
    stop: &AtomicBool,
) -> Result<Sent, Box<dyn Error>> {
    let slots = mix::schedule(plan.mix, plan.seed, lane);
    let length = slots.iter().map(|slot| slot.length).max();
    let length = length.unwrap_or(LENGTH_MAX);
    let mut ebpf = EbpfLoader::new()
        .map_max_entries("schedule", slots.len() as u32)
        .override_global("OUT", &out, true)
        .override_global("SLOTS", &(slots.len() as u32), true)
        .override_global("LENGTH", &u32::from(length), true)
        .override_global("FLOWS", &plan.flows.div_ceil(plan.lanes), true)
        .override_global("SEED", &(plan.seed ^ u64::from(lane) << 48), true)
        .load(object)?;
    let map = ebpf.map_mut("schedule").ok_or("no schedule")?;
    let mut schedule = Array::<_, Slot>::try_from(map)?;
    for (index, slot) in slots.iter().enumerate() {
        schedule.set(index as u32, slot, 0)?;
    }
    let program: &mut Xdp = ebpf
        .program_mut("send")
        .ok_or("no program that sends")?
        .try_into()?;
    program.load()?;
    let program = program.fd()?.try_clone()?;
    let most = packets.div_ceil(u64::from(plan.lanes));
    let begun = Instant::now();
    pace(
        program.as_fd(),
        &vec![0; usize::from(length)],
        plan,
        most,
        stop,
    )?;
    let seconds = begun.elapsed().as_secs_f64();
    let map = ebpf.map("progress").ok_or("no progress")?;
    let progress = Array::<_, Progress>::try_from(map)?.get(&0, 0)?;
    Ok(Sent {
        packets: progress.sent,
        seconds,
    })
}

/// Runs the program in bursts, as fast as it goes or at the rate that was asked for.
fn pace(
    program: BorrowedFd<'_>,
    frame: &[u8],
    plan: &Plan,
    packets: u64,
    stop: &AtomicBool,
) -> Result<(), Box<dyn Error>> {
    let rate = plan.rate / u64::from(plan.lanes);
    let (begun, waiting) = (Instant::now(), Stop::default());
    let mut sent = 0;
    while sent < packets && !stop.load(Ordering::Relaxed) {
        let mut burst = u64::from(BURST).min(packets - sent);
        if rate > 0 {
            burst = burst.min(rate.div_ceil(BURSTS_PER_SECOND));
            let due = Duration::from_secs_f64(sent as f64 / rate as f64);
            // Nobody asks this to stop: it waits out the time, a fiftieth of a second at most.
            waiting.wait(due.saturating_sub(begun.elapsed()));
        }
        bpf::inject(program, frame, burst as u32)?;
        sent += burst;
    }
    Ok(())
}
