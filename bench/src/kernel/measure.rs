//! Loads the programs and lets them take turns.

use std::{
    error::Error,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use aya::{Ebpf, EbpfLoader, maps::Map, programs::Program};
use sensor::capture::xdp::{Settings, Xdp};
use sensor_ebpf::{
    flow::EPOCH_SHIFT,
    maps::{FLOWS_PER_TABLE, Hook, PROGRAM_EGRESS, PROGRAM_INGRESS},
};

use super::{Args, Line, peer, sys};
use crate::{clang, netns};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Flows in the two settings.
const FLOWS: [u32; 2] = [1, 20_000];

/// Which kind of program; tail calls only join equals.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Xdp,
    XdpFrags,
    Classifier,
}

impl Kind {
    /// As in the names of `minimal.bpf.c`.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::XdpFrags => "frags",
            Self::Classifier => "tc",
        }
    }

    const fn hook(self) -> &'static str {
        match self {
            Self::Xdp | Self::XdpFrags => "xdp",
            Self::Classifier => "tc",
        }
    }
}

/// A program under test.
struct Target {
    name: String,
    kind: Kind,
    program: OwnedFd,
    /// Whose it is.
    owner: Owner,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Ours,
    /// The peer of that number.
    Peer(usize),
    /// To compare with.
    Harness,
}

pub(super) fn all(args: &Args) -> Result<Vec<Line>> {
    let cpus = aya::util::nr_cpus().map_err(|(what, error)| format!("{what}: {error}"))?;
    netns::pin(cpus - 1);
    let minimal = clang::MINIMAL.compile()?;
    let capture = Xdp::load(&Settings {
        flows_per_table: FLOWS_PER_TABLE as u32,
        ..Settings::on([""; 0])
    })?;
    let mut targets = ours(&capture)?;
    if !args.peer.is_empty() {
        peer::own_pins().map_err(|error| format!("a BPF file system of its own: {error}"))?;
    }
    let mut peers = Vec::new();
    for (number, wanted) in args.peer.iter().enumerate() {
        let mut ebpf = peer::load(wanted, &args.peer_set, &args.peer_map)?;
        let owner = Owner::Peer(number);
        targets.push(load(&mut ebpf, &wanted.program, wanted.to_string(), owner)?);
        peers.push(ebpf);
    }
    sort_out_frags(&minimal, &mut targets)?;
    let mut lines = Vec::new();
    for kind in [Kind::XdpFrags, Kind::Xdp, Kind::Classifier] {
        let targets: Vec<&Target> = targets
            .iter()
            .filter(|target| target.kind == kind)
            .collect();
        if targets.is_empty() {
            continue;
        }
        for flows in FLOWS {
            lines.extend(setting(args, &minimal, kind, flows, &targets, &peers)?);
        }
    }
    Ok(lines)
}

/// Measures all programs of one kind with that many flows.
fn setting(
    args: &Args,
    minimal: &[u8],
    kind: Kind,
    flows: u32,
    targets: &[&Target],
    peers: &[Ebpf],
) -> Result<Vec<Line>> {
    let mut harness = EbpfLoader::new()
        .override_global("FLOWS", &flows, true)
        .load(minimal)?;
    let base = ["empty", "minimal", "timed"].map(|name| {
        load(
            &mut harness,
            &format!("{name}_{}", kind.suffix()),
            name.to_owned(),
            Owner::Harness,
        )
    });
    let [empty, counter, timed] = base;
    let (empty, counter, timed) = (empty?, counter?, timed?);
    let vary = load(
        &mut harness,
        &format!("vary_{}", kind.suffix()),
        String::new(),
        Owner::Harness,
    )?;
    let array = array(&harness, &format!("target_{}", kind.suffix()))?;

    let all: Vec<&Target> = [&empty, &counter, &timed]
        .into_iter()
        .chain(targets.iter().copied())
        .collect();
    let frame = frame();
    let mut rounds = Vec::with_capacity(args.rounds);
    // The first round fills the tables, of both epochs, and is not counted.
    for round in 0..=args.rounds {
        let mut row = Vec::with_capacity(all.len());
        for target in &all {
            sys::set(array, 0, target.program.as_fd())?;
            // Unmeasured first: a program must not pay for what the one before it left in the caches, nor, where two share a
            // table, profit from it.
            sys::test_run(vary.program.as_fd(), &frame, args.repeat)?;
            let begin = Instant::now();
            let mut ns = sys::test_run(vary.program.as_fd(), &frame, args.repeat)?;
            while round == 0 && begin.elapsed() < Duration::from_nanos(5 << EPOCH_SHIFT >> 1) {
                ns = sys::test_run(vary.program.as_fd(), &frame, args.repeat)?;
            }
            row.push(f64::from(ns));
        }
        if round > 0 {
            rounds.push(row);
        }
    }
    let columns: Vec<f64> = (0..all.len())
        .map(|index| undisturbed(rounds.iter().map(|row| row[index])))
        .collect();
    let ours = all
        .iter()
        .position(|target| target.owner == Owner::Ours)
        .map(|at| columns[at] - columns[0]);
    let line = |(target, ns): (&&Target, &f64)| {
        let net_ns = ns - columns[0];
        let counts_in = match target.owner {
            Owner::Peer(number) => peer::counting(&peers[number], flows)?,
            Owner::Ours | Owner::Harness => Vec::new(),
        };
        Ok(Line {
            hook: kind.hook(),
            flows,
            program: target.name.clone(),
            ns: *ns,
            net_ns,
            ratio: net_ns / (columns[1] - columns[0]),
            ratio_timed: net_ns / (columns[2] - columns[0]),
            ours: ours
                .map(|ours| ours / net_ns)
                .filter(|ratio| ratio.is_finite()),
            is_peer: matches!(target.owner, Owner::Peer(_)),
            counts_in,
        })
    };
    all.iter().zip(&columns).map(line).collect()
}

/// Mean of the faster quarter: what a run costs when nobody else has the CPU. (A mean, because each value is a whole number.)
fn undisturbed(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.truncate(values.len().div_ceil(4));
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sensor's own programs.
fn ours(capture: &Xdp) -> Result<Vec<Target>> {
    let target = |(hook, kind, name): (Hook, Kind, &str)| {
        Ok(Target {
            name: format!("anomaly-detect {name}"),
            kind,
            program: capture.program(hook)?.try_clone_to_owned()?,
            owner: Owner::Ours,
        })
    };
    [
        (Hook::Ingress, Kind::Xdp, PROGRAM_INGRESS),
        (Hook::Egress, Kind::Classifier, PROGRAM_EGRESS),
    ]
    .map(target)
    .into_iter()
    .collect()
}

/// Loads one program of an object, and no other of it.
fn load(ebpf: &mut Ebpf, program: &str, name: String, owner: Owner) -> Result<Target> {
    let known: Vec<String> = ebpf.programs().map(|(name, _)| name.to_owned()).collect();
    let found = ebpf.program_mut(program).ok_or_else(|| {
        format!(
            "no program {program} in the object; there are {}",
            known.join(", ")
        )
    })?;
    let (kind, program) = match found {
        Program::Xdp(xdp) => {
            xdp.load()?;
            (Kind::Xdp, xdp.fd()?.as_fd().try_clone_to_owned()?)
        }
        Program::SchedClassifier(classifier) => {
            classifier.load()?;
            (
                Kind::Classifier,
                classifier.fd()?.as_fd().try_clone_to_owned()?,
            )
        }
        _ => return Err(format!("{program} is neither XDP nor TC").into()),
    };
    Ok(Target {
        name,
        kind,
        program,
        owner,
    })
}

/// An array of programs.
fn array<'a>(harness: &'a Ebpf, name: &str) -> Result<BorrowedFd<'a>> {
    match harness.map(name) {
        Some(Map::ProgramArray(array)) => Ok(array.fd().as_fd()),
        _ => Err(format!("no array {name}").into()),
    }
}

/// Finds out which XDP programs take packets in several buffers: the kernel puts those, and only those, into a program array
/// whose owner does.
fn sort_out_frags(minimal: &[u8], targets: &mut [Target]) -> Result<()> {
    let mut harness = Ebpf::load(minimal)?;
    load(&mut harness, "vary_frags", String::new(), Owner::Harness)?;
    let array = array(&harness, "target_frags")?;
    for target in targets.iter_mut().filter(|target| target.kind == Kind::Xdp) {
        if sys::set(array, 0, target.program.as_fd()).is_ok() {
            target.kind = Kind::XdpFrags;
        }
    }
    Ok(())
}

/// An ordinary packet: Ethernet, IPv4, TCP with ACK and a few bytes of payload.
fn frame() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
    frame.extend([
        0x45, 0, 0, 50, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 7, 0, 0, 10, 0, 0, 1,
    ]);
    frame.extend([
        0x9c, 0x40, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0,
    ]);
    frame.resize(64, 0x61);
    frame
}
