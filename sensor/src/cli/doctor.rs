//! `doctor`: can this machine do what the sensor needs? A line for each thing, and what to do about what is missing.

use std::{fs, io::Write, net::TcpListener, path::Path};

use serde_json::{Value, json};

use super::{
    args::Doctor,
    fault::{Fault, code},
    setup::{Flags, Setup, output},
};
use crate::{
    config::Format,
    score::store,
    sink::table::{Align, Style, Table},
};

/// How a check came out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// Something is missing that not every use needs.
    Limited,
    /// What was asked for cannot work.
    Bad,
}

struct Check {
    name: String,
    state: State,
    finding: String,
}

fn check(name: &str, state: State, finding: impl Into<String>) -> Check {
    Check {
        name: name.to_owned(),
        state,
        finding: finding.into(),
    }
}

pub(super) fn run(args: &Doctor) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default().format(args.format))?;
    let mut checks = vec![processor(), kernel(), types(), permission()];
    let wanted = if args.interfaces.is_empty() {
        &setup.config.capture.interfaces
    } else {
        &args.interfaces
    };
    checks.extend(interfaces(wanted));
    checks.extend(sockets(&setup.config.capture.taps));
    checks.push(libpcap());
    checks.push(metrics(&setup));
    checks.push(folder(setup.folder()));
    checks.push(model(&setup));
    let worst_is_bad = checks.iter().any(|check| check.state == State::Bad);
    tell(args, setup.config.output.format, &checks)?;
    Ok(if worst_is_bad { code::FAILED } else { 0 })
}

fn tell(args: &Doctor, format: Format, checks: &[Check]) -> Result<(), Fault> {
    let mut out = output(&args.output)?;
    let word = |state| match state {
        State::Good => "ok",
        State::Limited => "limited",
        State::Bad => "failed",
    };
    if format == Format::Json {
        let all: Vec<Value> = checks
            .iter()
            .map(|check| json!({"check": check.name, "state": word(check.state), "finding": check.finding}))
            .collect();
        writeln!(out, "{:#}", Value::from(all))?;
    } else {
        let mut table = Table::new(&[
            ("state", Align::Left),
            ("check", Align::Left),
            ("finding", Align::Left),
        ]);
        for check in checks {
            table.row([
                word(check.state).to_owned(),
                check.name.clone(),
                check.finding.clone(),
            ]);
        }
        table.write(&mut out, "", Style::stdout(), &|_, _, text| text.to_owned())?;
    }
    out.flush()?;
    Ok(())
}

fn processor() -> Check {
    #[cfg(target_arch = "x86_64")]
    let vectors = if std::arch::is_x86_feature_detected!("avx512vbmi") {
        "AVX-512 VBMI"
    } else if std::arch::is_x86_feature_detected!("avx2") {
        "AVX2"
    } else {
        "no AVX2: scoring takes the portable path"
    };
    #[cfg(not(target_arch = "x86_64"))]
    let vectors = "portable scoring";
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    check(
        "processor",
        State::Good,
        format!("{threads} threads, {vectors}"),
    )
}

fn kernel() -> Check {
    let Ok(release) = fs::read_to_string("/proc/sys/kernel/osrelease") else {
        return check(
            "kernel",
            State::Limited,
            "no Linux: captures from files and libpcap only",
        );
    };
    let release = release.trim();
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (6, 6) {
        check("kernel", State::Good, format!("{release}: XDP and TCX"))
    } else if version >= (5, 9) {
        check(
            "kernel",
            State::Good,
            format!("{release}: XDP, and clsact instead of TCX (6.6)"),
        )
    } else {
        check(
            "kernel",
            State::Limited,
            format!("{release}: XDP capture wants 5.9 or newer"),
        )
    }
}

fn types() -> Check {
    if Path::new("/sys/kernel/btf/vmlinux").exists() {
        check(
            "kernel types",
            State::Good,
            "BTF at /sys/kernel/btf/vmlinux",
        )
    } else {
        check(
            "kernel types",
            State::Limited,
            "no /sys/kernel/btf/vmlinux; not needed by these programs",
        )
    }
}

/// Effective capabilities of this process (capabilities(7), `CapEff`).
fn permission() -> Check {
    const NEEDED: [(&str, u32); 3] = [("CAP_NET_ADMIN", 12), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    let Some(effective) = effective else {
        return check(
            "permission",
            State::Limited,
            "capabilities cannot be read on this system",
        );
    };
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|(_, bit)| effective >> bit & 1 == 0)
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        check(
            "permission",
            State::Good,
            "may load and attach kernel programs",
        )
    } else {
        check(
            "permission",
            State::Limited,
            format!(
                "live capture needs {}: run as root, or grant it with setcap or AmbientCapabilities=",
                missing.join(", ")
            ),
        )
    }
}

fn interfaces(wanted: &[String]) -> Vec<Check> {
    let folder = Path::new("/sys/class/net");
    let known: Vec<String> = fs::read_dir(folder)
        .map(|entries| {
            let mut names: Vec<_> = entries
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .collect();
            names.sort();
            names
        })
        .unwrap_or_default();
    if wanted.is_empty() {
        let finding = match known.is_empty() {
            true => "none seen".to_owned(),
            false => format!("{}; choose with --iface", known.join(", ")),
        };
        return vec![check("interfaces", State::Good, finding)];
    }
    wanted
        .iter()
        .map(|name| {
            let title = format!("interface {name}");
            if !known.contains(name) {
                return check(
                    &title,
                    State::Bad,
                    format!("does not exist; there are: {}", known.join(", ")),
                );
            }
            let read = |file: &str| {
                fs::read_to_string(folder.join(name).join(file))
                    .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
            };
            let driver = fs::read_link(folder.join(name).join("device/driver"))
                .ok()
                .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
                .unwrap_or_else(|| "virtual".to_owned());
            let state = read("operstate");
            check(
                &title,
                if state == "down" {
                    State::Limited
                } else {
                    State::Good
                },
                format!("{state}, MTU {}, driver {driver}", read("mtu")),
            )
        })
        .collect()
}

/// What AF_XDP can do on the mirror ports.
#[cfg(target_os = "linux")]
fn sockets(taps: &[String]) -> Vec<Check> {
    let one = |name: &String| {
        let title = format!("tap {name}");
        match crate::capture::xsk::offered(name) {
            Err(error) => check(
                &title,
                State::Limited,
                format!("cannot be asked about AF_XDP: {error}"),
            ),
            Ok(offered) => {
                let how = match (offered.native, offered.zero_copy) {
                    (_, true) => "zero-copy AF_XDP",
                    (true, false) => "AF_XDP in copy mode (the driver has no zero-copy)",
                    (false, false) => {
                        "AF_XDP in copy mode behind generic XDP: slow (the driver has no XDP)"
                    }
                };
                let state = if offered.native {
                    State::Good
                } else {
                    State::Limited
                };
                check(
                    &title,
                    state,
                    format!(
                        "{how}, {} receive queues, a thread for each",
                        offered.queues
                    ),
                )
            }
        }
    };
    taps.iter().map(one).collect()
}

#[cfg(not(target_os = "linux"))]
fn sockets(taps: &[String]) -> Vec<Check> {
    let one = |name: &String| check(&format!("tap {name}"), State::Bad, "taps are of Linux only");
    taps.iter().map(one).collect()
}

fn libpcap() -> Check {
    if cfg!(any(feature = "libpcap", not(target_os = "linux"))) {
        check("libpcap", State::Good, "built in")
    } else {
        check(
            "libpcap",
            State::Limited,
            "not built in (cargo feature `libpcap`); XDP and files work without",
        )
    }
}

fn metrics(setup: &Setup) -> Check {
    match setup.config.metrics.listen {
        None => check("metrics", State::Good, "switched off"),
        Some(address) => match TcpListener::bind(address) {
            Ok(_) => check("metrics", State::Good, format!("{address} is free")),
            Err(error) => check("metrics", State::Bad, format!("{address}: {error}")),
        },
    }
}

fn folder(folder: &Path) -> Check {
    let writable = |path: &Path| {
        fs::metadata(path).is_ok_and(|found| found.is_dir() && !found.permissions().readonly())
    };
    let name = folder.display();
    if writable(folder) {
        check("output folder", State::Good, format!("{name} is there"))
    } else if folder.exists() {
        check(
            "output folder",
            State::Bad,
            format!("{name} is not a writable folder"),
        )
    } else {
        check("output folder", State::Good, format!("{name} will be made"))
    }
}

fn model(setup: &Setup) -> Check {
    match setup.store().current_path() {
        Ok(path) => match store::load(&path) {
            Ok(_) => check(
                "model",
                State::Good,
                format!("{} is in use", path.display()),
            ),
            Err(error) => check("model", State::Bad, error.to_string()),
        },
        Err(error) => check("model", State::Limited, error.to_string()),
    }
}
