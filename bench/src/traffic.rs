//! Traffic for a live path, on one machine, at millions of packets a second: a schedule of frames, made from a seed,
//! is sent by a BPF program under `BPF_PROG_TEST_RUN` with live frames, which redirects each out of a veth.

use std::{
    error::Error,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::{
    clang,
    live::device,
    netns::{Pair, Serial, pause},
};

pub(crate) mod frame;
pub(crate) mod lane;
pub(crate) mod mix;

/// Options.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    bench traffic --mix web --seconds 10                      into a namespace of its own: what this machine can send\n  \
    ip netns exec a bench traffic --mix syn-flood --out veth-a --packets 100M --seconds 300")]
pub(crate) struct Args {
    /// Kind of traffic
    #[arg(long, value_enum, default_value = "mixed")]
    mix: mix::Mix,
    /// How long
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Packets, at most; also 100k or 5M
    #[arg(long, value_parser = number, default_value = "0", hide_default_value = true)]
    packets: u64,
    /// Packets a second, also 500k; as many as possible without
    #[arg(long, value_parser = number, default_value = "0", hide_default_value = true)]
    rate: u64,
    /// Flows of the uniform mix
    #[arg(long, default_value_t = 20_000)]
    flows: u32,
    /// Seed of the mix
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// CPUs that send; a veth receives what CPU n sends on queue n
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=4))]
    lanes: u32,
    /// Send out of this interface of this namespace, and not into one of its own
    #[arg(long, value_name = "INTERFACE")]
    out: Option<String>,
}

/// A number, with `k`, `M` or `G`.
fn number(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        Some((at, 'G')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| "expected a number such as 250, 100k or 5M".to_owned())
}

/// Runs and prints.
pub(crate) fn run(args: &Args) -> ExitCode {
    match send(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn send(args: &Args) -> Result<(), Box<dyn Error>> {
    let object = clang::TRAFFIC.compile()?;
    let plan = lane::Plan {
        mix: args.mix,
        flows: args.flows,
        seed: args.seed,
        rate: args.rate,
        lanes: args.lanes,
    };
    let packets = match args.packets {
        0 => u64::MAX,
        packets => packets,
    };
    let stop = AtomicBool::new(false);
    if let Some(out) = &args.out {
        let sent = timed(args, &stop, || {
            lane::send(&object, out, &plan, packets, &stop, &|| {})
        })?;
        tell(sent);
        return Ok(());
    }
    let _serial = Serial::take();
    let pair = Pair::new();
    let _receiver = device::Receiver::attach(&object, &pair, "drop")?;
    let before = device::counts(&pair.b, "veth-b");
    let sent = timed(args, &stop, || {
        pair.a.within(|| {
            let enter = || pair.a.enter().expect("enter the namespace");
            lane::send(&object, "veth-a", &plan, packets, &stop, &enter)
                .map_err(|error| error.to_string())
        })
    })?;
    tell(sent);
    pause(Duration::from_millis(100));
    let after = device::counts(&pair.b, "veth-b").since(before);
    println!(
        "received {} on veth-b, where an empty program drops them; {} dropped by veth, whose ring was full",
        after.packets, after.dropped
    );
    Ok(())
}

/// Runs `body` and tells it to stop when the time is over.
fn timed<T, E: Into<Box<dyn Error>>>(
    args: &Args,
    stop: &AtomicBool,
    body: impl FnOnce() -> Result<T, E>,
) -> Result<T, Box<dyn Error>> {
    let over = sensor::capture::Stop::default();
    thread::scope(|scope| {
        let (time, waiting) = (Duration::from_secs_f64(args.seconds), over.clone());
        scope.spawn(move || {
            waiting.wait(time);
            stop.store(true, Ordering::Relaxed);
        });
        let result = body();
        over.stop();
        result.map_err(Into::into)
    })
}

fn tell(sent: lane::Sent) {
    println!(
        "sent {} packets in {:.2} s: {:.3} million a second",
        sent.packets,
        sent.seconds,
        sent.packets as f64 / sent.seconds / 1e6
    );
}
