//! `cargo xtask record-demo`: records `demo/` with real programs on a small office network of our own.
//!
//! The whole recording runs in private network, mount, process and host-name namespaces whose first process is
//! this task. When it ends, however it ends, the kernel ends every process in them and the namespaces, mounts
//! and interfaces go with the last one: nothing is left behind and nothing of the machine is touched.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use crate::process::{Failure, find, root, run as run_program};

mod attacks;
mod background;
mod office;
mod rng;
mod services;
mod stop;
mod truth;

use office::Office;
use stop::Stop;

/// Options of `cargo xtask record-demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder to write `office.pcap.zst` and `ground-truth.toml` into
    #[arg(short, long, default_value = "demo")]
    output: PathBuf,
    /// Length of the recording in seconds
    #[arg(long, default_value_t = 360, value_parser = clap::value_parser!(u64).range(60..=3600))]
    seconds: u64,
    /// Seed of what the users do and when
    #[arg(long, default_value_t = 20)]
    seed: u64,
    /// Set on the second start, inside the namespaces
    #[arg(long, hide = true)]
    inside: bool,
}

/// Everything that runs in the recording, with its Debian package.
const PROGRAMS: &[(&str, &str)] = &[
    ("unshare", "util-linux"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("ethtool", "ethtool"),
    ("tcpdump", "tcpdump"),
    ("zstd", "zstd"),
    ("nginx", "nginx-light"),
    ("openssl", "openssl"),
    ("curl", "curl"),
    ("dnsmasq", "dnsmasq-base"),
    ("dig", "bind9-dnsutils"),
    ("chronyd", "chrony"),
    ("ping", "iputils-ping"),
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("sshpass", "sshpass"),
    ("rsync", "rsync"),
    ("nmap", "nmap"),
];

/// The committed limit for the whole folder, in bytes.
const CAPTURE_LIMIT_BYTES: u64 = 3 * 1000 * 1000 - 50_000;

/// Records, or explains what is missing.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .collect();
    if !missing.is_empty() {
        let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
        packages.dedup();
        return Err(Failure::Missing {
            programs: missing.iter().map(|(program, _)| *program).collect(),
            packages,
        });
    }
    if args.inside {
        return record(args);
    }
    let output = root().join(&args.output);
    fs::create_dir_all(&output).map_err(Failure::file(&output))?;
    let own = std::env::current_exe().map_err(Failure::file(Path::new("/proc/self/exe")))?;
    // A sensible bound on everything together: the recording itself plus a minute to set up and compress.
    run_program(
        Command::new("timeout")
            .args([
                "--kill-after=5",
                &(args.seconds + 90).to_string(),
                "unshare",
            ])
            .args([
                "--net",
                "--mount",
                "--pid",
                "--uts",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "--",
            ])
            .arg(own)
            .args([
                "record-demo",
                "--inside",
                "--seconds",
                &args.seconds.to_string(),
                "--seed",
                &args.seed.to_string(),
            ])
            .arg("--output")
            .arg(output),
    )
}

/// Inside the namespaces, as their process 1.
fn record(args: &Args) -> Result<(), Failure> {
    let scratch = Path::new("/run/office");
    office::private_machine(scratch)?;
    let office = Arc::new(Office::build(scratch)?);
    services::start(&office)?;
    // Neighbour discovery and the servers settle before the first frame is kept.
    let stop = Arc::new(Stop::default());
    stop.wait(Duration::from_secs(3));

    let tap = services::Tap::start(&office)?;
    let length = Duration::from_secs(args.seconds);
    println!(
        "recording {} s on {} hosts",
        args.seconds,
        office::HOSTS.len()
    );
    let users = background::start(&office, &stop, args.seed);
    let planted = attacks::run_all(&office, &stop, length);
    stop.set();
    for user in users {
        user.join()
            .map_err(|_| Failure::Check("a user's thread panicked".to_owned()))?;
    }
    let taken = tap.finish()?;
    let planted = planted?;

    let capture = args.output.join("office.pcap.zst");
    run_program(
        Command::new("zstd")
            .args(["-q", "-f", "-19", "-o"])
            .arg(&capture)
            .arg(&taken.file),
    )?;
    let bytes = fs::metadata(&capture)
        .map_err(Failure::file(&capture))?
        .len();
    if bytes > CAPTURE_LIMIT_BYTES {
        return Err(Failure::Check(format!(
            "{} has {bytes} bytes, the limit is {CAPTURE_LIMIT_BYTES}",
            capture.display()
        )));
    }
    let truth = args.output.join("ground-truth.toml");
    fs::write(&truth, truth::document(&planted)).map_err(Failure::file(&truth))?;
    println!(
        "{}: {} packets, {bytes} bytes; {}",
        capture.display(),
        taken.packets,
        truth.display()
    );
    Ok(())
}

/// Now, for the ground truth. Only here and in no stage of the sensor.
fn now() -> Timestamp {
    Timestamp::now()
}
