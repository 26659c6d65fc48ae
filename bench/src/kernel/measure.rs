//! Loads the programs and lets them take turns.

use std::{
    error::Error,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, ProgramArray},
    programs::{Program, ProgramFd},
};
use sensor_ebpf::{
    flow::{EPOCH_SHIFT, FlowCounters, FlowKey},
    maps,
};

use super::{Args, Line, sys};
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

/// A program under test, and what must live as long as it.
struct Target {
    name: String,
    kind: Kind,
    program: ProgramFd,
}

pub(super) fn all(args: &Args) -> Result<Vec<Line>> {
    let cpus = aya::util::nr_cpus().map_err(|(what, error)| format!("{what}: {error}"))?;
    netns::pin(cpus - 1);
    let minimal = clang::compile("minimal")?;
    let (_ours, _tables, mut ours) = load_ours(cpus)?;
    let mut peers = Vec::new();
    for peer in &args.peer {
        let mut ebpf = Ebpf::load_file(&peer.object)?;
        let name = format!(
            "{}:{}",
            peer.object.file_name().unwrap_or_default().display(),
            peer.program
        );
        peers.push((load(&mut ebpf, &peer.program, name)?, ebpf));
    }
    let mut targets: Vec<&mut Target> = ours
        .iter_mut()
        .chain(peers.iter_mut().map(|(target, _)| target))
        .collect();
    sort_out_frags(&minimal, &mut targets)?;
    let mut lines = Vec::new();
    for kind in [Kind::XdpFrags, Kind::Xdp, Kind::Classifier] {
        let targets: Vec<&Target> = targets
            .iter()
            .map(|target| &**target)
            .filter(|target| target.kind == kind)
            .collect();
        if targets.is_empty() {
            continue;
        }
        for flows in FLOWS {
            lines.extend(setting(args, &minimal, kind, flows, &targets)?);
        }
    }
    Ok(lines)
}

/// Measures all programs of one kind with that many flows.
fn setting(
    args: &Args,
    minimal: &Path,
    kind: Kind,
    flows: u32,
    targets: &[&Target],
) -> Result<Vec<Line>> {
    let mut harness = EbpfLoader::new()
        .override_global("FLOWS", &flows, true)
        .load_file(minimal)?;
    let base = ["empty", "minimal", "timed"].map(|name| {
        load(
            &mut harness,
            &format!("{name}_{}", kind.suffix()),
            name.to_owned(),
        )
    });
    let [empty, counter, timed] = base;
    let (empty, counter, timed) = (empty?, counter?, timed?);
    let vary = load(
        &mut harness,
        &format!("vary_{}", kind.suffix()),
        String::new(),
    )?;
    let array = harness
        .map_mut(&format!("target_{}", kind.suffix()))
        .ok_or("no program array")?;
    let mut array = ProgramArray::try_from(array)?;

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
            array.set(0, &target.program, 0)?;
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
    let line = |(target, ns): (&&Target, &f64)| Line {
        hook: kind.hook(),
        flows,
        program: target.name.clone(),
        ns: *ns,
        net_ns: ns - columns[0],
        ratio: (ns - columns[0]) / (columns[1] - columns[0]),
        ratio_timed: (ns - columns[0]) / (columns[2] - columns[0]),
    };
    Ok(all.iter().zip(&columns).map(line).collect())
}

/// Mean of the faster quarter: what a run costs when nobody else has the CPU. (A mean, because each value is a whole number.)
fn undisturbed(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.truncate(values.len().div_ceil(4));
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sensor's own programs with tables of the usual size for every CPU.
fn load_ours(cpus: usize) -> Result<(Ebpf, Vec<OwnedFd>, Vec<Target>)> {
    let mut ebpf = EbpfLoader::new()
        .map_max_entries(maps::FLOW_TABLES, cpus as u32 * 2)
        .load(sensor_ebpf::OBJECT)?;
    let mut tables = Vec::new();
    let Some(Map::ArrayOfMaps(outer)) = ebpf.map(maps::FLOW_TABLES) else {
        return Err("the object has no array of flow tables".into());
    };
    for index in 0..cpus as u32 * 2 {
        let table = sys::hash_map(
            size_of::<FlowKey>(),
            size_of::<FlowCounters>(),
            maps::FLOWS_PER_TABLE as u32,
            maps::FLOW_TABLE_FLAGS,
        )?;
        sys::set_inner(outer.fd().as_fd(), index, &table)?;
        tables.push(table);
    }
    let programs = [maps::PROGRAM_INGRESS, maps::PROGRAM_EGRESS]
        .map(|name| load(&mut ebpf, name, format!("anomaly-detect {name}")));
    let programs = programs.into_iter().collect::<Result<_>>()?;
    Ok((ebpf, tables, programs))
}

fn load(ebpf: &mut Ebpf, program: &str, name: String) -> Result<Target> {
    let found = ebpf
        .program_mut(program)
        .ok_or_else(|| format!("no program {program} in the object"))?;
    let (kind, program) = match found {
        Program::Xdp(xdp) => {
            xdp.load()?;
            (Kind::Xdp, xdp.fd()?.try_clone()?)
        }
        Program::SchedClassifier(classifier) => {
            classifier.load()?;
            (Kind::Classifier, classifier.fd()?.try_clone()?)
        }
        _ => return Err(format!("{program} is neither XDP nor TC").into()),
    };
    Ok(Target {
        name,
        kind,
        program,
    })
}

/// Finds out which XDP programs take packets in several buffers: the kernel puts those, and only those, into a program array
/// whose owner does.
fn sort_out_frags(minimal: &Path, targets: &mut [&mut Target]) -> Result<()> {
    let mut harness = Ebpf::load_file(minimal)?;
    load(&mut harness, "vary_frags", String::new())?;
    let array = harness.map_mut("target_frags").ok_or("no program array")?;
    let mut array = ProgramArray::try_from(array)?;
    for target in targets.iter_mut().filter(|target| target.kind == Kind::Xdp) {
        if array.set(0, &target.program, 0).is_ok() {
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
