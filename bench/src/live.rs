//! The live path under load: a veth with two receive queues, both fed as fast as live frames can be sent, and in turn at its
//! end an empty program, the sensor's accounting, the sensor on a tap a bare AF_XDP loop and the sensor's AF_XDP capture.
//!
//! On a small machine the sender and the receiver share the CPUs: a veth takes packets off its ring in the very softirq that the
//! sender raises. So a slower receiver slows the sender down, and what counts is the rate at which packets got through,
//! beside that of the empty program in the same run.

use std::{
    collections::BTreeMap,
    error::Error,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::{
    clang,
    netns::{Pair, Serial, pause},
    traffic::{
        lane::{self, Plan},
        mix::Mix,
    },
};

use sensor_side::{Behind, Capturing, Role};

mod bare;
pub(crate) mod device;
mod sensor_side;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds for each receiver
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Receivers take turns this often
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Kind of traffic
    #[arg(long, value_enum, default_value = "uniform")]
    mix: Mix,
    /// Flows of the uniform mix
    #[arg(long, default_value_t = 20_000)]
    flows: u32,
    /// Seed of the mix
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Packets a second; as many as possible without
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    rate: u64,
    /// CPUs that send, each into a queue of its own
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=2))]
    lanes: u32,
    /// Only these receivers
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Receiver>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// What is at the end of the veth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
enum Receiver {
    /// A program that passes every packet on
    EmptyPass,
    /// The smallest counter of packets, bytes and times by flow, in C
    CounterPass,
    /// The sensor, counting in the kernel
    Xdp,
    /// The same, with features, scores and incidents behind it
    XdpScored,
    /// A program that drops every packet
    EmptyDrop,
    /// The sensor on a tap, counting in the kernel
    TapDrop,
    /// A loop that takes packets from AF_XDP sockets and gives them back
    BareAfXdp,
    /// The sensor's AF_XDP capture
    AfXdp,
    /// The sensor on a tap by AF_XDP, with features, scores and incidents behind it
    AfXdpScored,
}

const ALL: [Receiver; 9] = [
    Receiver::EmptyPass,
    Receiver::CounterPass,
    Receiver::Xdp,
    Receiver::XdpScored,
    Receiver::EmptyDrop,
    Receiver::TapDrop,
    Receiver::BareAfXdp,
    Receiver::AfXdp,
    Receiver::AfXdpScored,
];

impl Receiver {
    /// What it is compared with.
    fn beside(self) -> Option<Self> {
        match self {
            Self::Xdp | Self::XdpScored | Self::CounterPass => Some(Self::EmptyPass),
            Self::TapDrop => Some(Self::EmptyDrop),
            Self::AfXdp | Self::AfXdpScored => Some(Self::BareAfXdp),
            Self::EmptyPass | Self::EmptyDrop | Self::BareAfXdp => None,
        }
    }

    fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self)
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

/// What a receiver says once nothing comes any more.
#[derive(Clone, Debug, Default)]
struct Received {
    /// Packets at its hook; `None` of a program that does not count.
    seen: Option<u64>,
    /// Packets that it did what it is for with.
    handled: Option<u64>,
    /// Flow records it scored; `None` where there is no model.
    scored: Option<u64>,
    /// Packets it lost, by counter.
    lost: BTreeMap<&'static str, u64>,
}

/// One receiver's turns together.
#[derive(Clone, Debug, serde::Serialize)]
struct Line {
    receiver: Receiver,
    seconds: f64,
    sent: u64,
    /// Dropped by veth before any program ran, because its ring of 256 was full.
    before_hook: u64,
    /// Packets that XDP ran on.
    arrived: u64,
    handled: u64,
    /// Flow records scored.
    scored: Option<u64>,
    lost: BTreeMap<&'static str, u64>,
    /// Packets in no counter.
    unaccounted: i64,
    /// CPU time of all threads, sending and receiving, with the softirqs in which the hook runs.
    cpu_seconds: f64,
    /// Packets handled in a second.
    rate: f64,
    /// Packets handled in a second of that CPU time: what is left of the rate when others want the CPUs too.
    cpu_rate: f64,
    /// That by the rate of what it is compared with.
    ratio: Option<f64>,
    /// The same of the rates by CPU time.
    cpu_ratio: Option<f64>,
}

/// Runs and prints.
pub(crate) fn run(args: &Args) -> ExitCode {
    match lines(args) {
        Ok(lines) => {
            print(args, &lines);
            let is_sound = lines.iter().all(|line| line.unaccounted == 0);
            if !is_sound {
                eprintln!("bench: packets are in no counter");
            }
            ExitCode::from(u8::from(!is_sound))
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn lines(args: &Args) -> Result<Vec<Line>, Box<dyn Error>> {
    let object = clang::TRAFFIC.compile()?;
    let _serial = Serial::take();
    let receivers: Vec<Receiver> = ALL
        .into_iter()
        .filter(|receiver| args.only.is_empty() || args.only.contains(receiver))
        .collect();
    let mut lines: Vec<Line> = Vec::new();
    for _ in 0..args.rounds.max(1) {
        for receiver in &receivers {
            let turn = turn(args, &object, *receiver)?;
            match lines.iter_mut().find(|line| line.receiver == *receiver) {
                Some(line) => line.add(turn),
                None => lines.push(turn),
            }
        }
    }
    for line in &mut lines {
        line.rate = line.handled as f64 / line.seconds;
        line.cpu_rate = line.handled as f64 / line.cpu_seconds;
    }
    let rates: Vec<(Receiver, f64, f64)> = lines
        .iter()
        .map(|line| (line.receiver, line.rate, line.cpu_rate))
        .collect();
    for line in &mut lines {
        let beside = rates
            .iter()
            .find(|(receiver, ..)| Some(*receiver) == line.receiver.beside());
        line.ratio = beside.map(|(_, rate, _)| line.rate / rate);
        line.cpu_ratio = beside.map(|(_, _, rate)| line.cpu_rate / rate);
    }
    Ok(lines)
}

impl Line {
    fn add(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.cpu_seconds += other.cpu_seconds;
        self.sent += other.sent;
        self.before_hook += other.before_hook;
        self.arrived += other.arrived;
        self.handled += other.handled;
        self.scored = self.scored.zip(other.scored).map(|(a, b)| a + b);
        self.unaccounted += other.unaccounted;
        for (counter, packets) in other.lost {
            *self.lost.entry(counter).or_default() += packets;
        }
    }
}

/// One receiver's turn, on interfaces of its own.
fn turn(args: &Args, object: &[u8], receiver: Receiver) -> Result<Line, Box<dyn Error>> {
    let pair = Pair::new();
    for namespace in [&pair.a, &pair.b] {
        // Nobody but the sender is to send.
        namespace.exec(&["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]);
    }
    pause(Duration::from_millis(200));
    let plan = Plan {
        mix: args.mix,
        flows: args.flows,
        seed: args.seed,
        rate: args.rate,
        lanes: args.lanes,
    };
    let running = start(receiver, object, &pair)?;
    let before = device::counts(&pair.b, "veth-b");
    let cpu_before = device::cpu_seconds();
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let (seconds, stop) = (
            Duration::from_secs_f64(args.seconds / f64::from(args.rounds.max(1))),
            &stop,
        );
        scope.spawn(move || {
            pause(seconds);
            stop.store(true, Ordering::Relaxed);
        });
        pair.a.within(|| {
            let enter = || pair.a.enter().expect("enter the namespace");
            lane::send(object, "veth-a", &plan, u64::MAX, stop, &enter)
                .map_err(|error| error.to_string())
        })
    })?;
    let cpu_seconds = device::cpu_seconds() - cpu_before;
    // What is still on its way through softirqs.
    pause(Duration::from_millis(300));
    let after = device::counts(&pair.b, "veth-b").since(before);
    let received = running.finish()?;
    let arrived = after.packets;
    let handled = received.handled.unwrap_or(arrived);
    let lost: u64 = received.lost.values().sum();
    // A redirect that fails counts as a drop too.
    let before_hook = sent.packets.saturating_sub(arrived);
    let own = arrived as i64 - received.seen.unwrap_or(arrived) as i64;
    let rest = received.seen.unwrap_or(arrived) as i64 - handled as i64 - lost as i64;
    let ring = after.dropped as i64 - lost_by_redirect(&received) as i64 - before_hook as i64;
    Ok(Line {
        receiver,
        seconds: sent.seconds,
        cpu_seconds,
        sent: sent.packets,
        before_hook,
        arrived,
        handled,
        scored: received.scored,
        unaccounted: own.abs() + rest.abs() + ring.abs(),
        lost: received.lost,
        rate: 0.0,
        cpu_rate: 0.0,
        ratio: None,
        cpu_ratio: None,
    })
}

/// Losses that the interface counts as dropped, too.
fn lost_by_redirect(received: &Received) -> u64 {
    received
        .lost
        .iter()
        .filter(|(counter, _)| counter.starts_with("af_xdp"))
        .map(|(_, packets)| packets)
        .sum()
}

/// A receiver at work.
trait Running {
    /// Stops it, and asks what it saw.
    fn finish(self: Box<Self>) -> Result<Received, Box<dyn Error>>;
}

impl Running for device::Receiver {
    fn finish(self: Box<Self>) -> Result<Received, Box<dyn Error>> {
        Ok(Received::default())
    }
}

fn start(
    receiver: Receiver,
    object: &[u8],
    pair: &Pair,
) -> Result<Box<dyn Running>, Box<dyn Error>> {
    let empty = |program| device::Receiver::attach(object, pair, program);
    let counter = clang::MINIMAL.compile()?;
    let capturing = |role, behind| -> Result<Box<dyn Running>, Box<dyn Error>> {
        Ok(Box::new(Capturing::start(pair, role, behind)?))
    };
    Ok(match receiver {
        Receiver::EmptyPass => Box::new(empty("pass")?),
        Receiver::CounterPass => Box::new(device::Receiver::attach(&counter, pair, "timed_xdp")?),
        Receiver::EmptyDrop => Box::new(empty("drop")?),
        Receiver::Xdp => capturing(Role::Host, Behind::Nothing)?,
        Receiver::XdpScored => capturing(Role::Host, Behind::Sensor)?,
        Receiver::TapDrop => capturing(Role::CountedTap, Behind::Nothing)?,
        Receiver::AfXdp => capturing(Role::Tap, Behind::Nothing)?,
        Receiver::AfXdpScored => capturing(Role::Tap, Behind::Sensor)?,
        Receiver::BareAfXdp => Box::new(bare::Loop::start(empty("redirect")?, pair)?),
    })
}

fn print(args: &Args, lines: &[Line]) {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if args.json {
        let report = serde_json::json!({
            "kernel": kernel.trim(), "cpus": cpus, "mix": format!("{:?}", args.mix).to_lowercase(), "flows": args.flows,
            "seconds": args.seconds, "rounds": args.rounds, "lanes": args.lanes, "results": lines,
        });
        println!("{report:#}");
        return;
    }
    println!(
        "Linux {}, {cpus} CPUs, {} lanes, {:?} traffic",
        kernel.trim(),
        args.lanes,
        args.mix
    );
    println!(
        "{:<15}{:>7}{:>13}{:>13}{:>13}{:>8}{:>7}{:>10}{:>7}{:>13}{:>9}  lost",
        "receiver",
        "s",
        "sent",
        "arrived",
        "handled",
        "M/s",
        "ratio",
        "M/CPU s",
        "ratio",
        "unaccounted",
        "scored"
    );
    for line in lines {
        let [ratio, cpu_ratio] = [line.ratio, line.cpu_ratio]
            .map(|ratio| ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")));
        let lost: Vec<String> = std::iter::once(("before the hook", line.before_hook))
            .chain(line.lost.iter().map(|(counter, lost)| (*counter, *lost)))
            .filter(|(_, lost)| *lost > 0)
            .map(|(counter, lost)| format!("{counter} {lost}"))
            .collect();
        println!(
            "{:<15}{:>7.1}{:>13}{:>13}{:>13}{:>8.3}{ratio:>7}{:>10.3}{cpu_ratio:>7}{:>13}{:>9}  {}",
            line.receiver.name(),
            line.seconds,
            line.sent,
            line.arrived,
            line.handled,
            line.rate / 1e6,
            line.cpu_rate / 1e6,
            line.unaccounted,
            line.scored
                .map_or(String::new(), |scored| scored.to_string()),
            lost.join(", ")
        );
    }
}
