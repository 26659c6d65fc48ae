//! `cargo xtask test`: everything that can be checked on this machine, by tier; what cannot is named, with the
//! reason and what to do about it.

use std::{
    fmt, fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use clap::ValueEnum;

use crate::{
    build_ebpf,
    process::{Failure, cargo, find, run as run_program},
    tally::{Tally, run_tests},
};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these tiers
    #[arg(long, value_delimiter = ',')]
    only: Vec<Tier>,
    /// Leave these tiers out
    #[arg(long, value_delimiter = ',')]
    skip: Vec<Tier>,
    /// Fail when one of these tiers cannot run here, instead of naming it; CI demands what it has installed
    #[arg(long, value_delimiter = ',', env = "XTASK_DEMAND")]
    demand: Vec<Tier>,
}

/// A kind of check. Cheap ones first: a wrong space is known before the first test is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tier {
    /// `cargo fmt --check`
    Format,
    /// clippy on all targets, warnings denied
    Lints,
    /// rustdoc, warnings denied
    Docs,
    /// `cargo test` of the workspace: unit, property and case tests, tidy, object digest (gate A)
    Tests,
    /// The lock-free publication of models under the loom model checker
    Loom,
    /// Live capture through libpcap: compiles, is clean, and (as root) captures
    Libpcap,
    /// Licences, bans and sources of all dependencies
    Deny,
    /// The committed BPF object is what its sources give, byte for byte (gate B)
    Object,
    /// Verifier, BPF_PROG_TEST_RUN, veth in own namespaces (gate C)
    Kernel,
}

/// How a tier ended.
enum Verdict {
    Passed,
    Failed(String),
    LeftOut { why: String, how: &'static str },
}

/// Runs the tiers, prints the summary, and answers with one exit code.
pub(crate) fn run(args: &Args) -> ExitCode {
    let begin = Instant::now();
    let mut tally = Tally::default();
    let mut verdicts = Vec::new();
    for &tier in Tier::value_variants() {
        let demanded = args.demand.contains(&tier);
        if args.skip.contains(&tier) || !(args.only.is_empty() || args.only.contains(&tier)) {
            if demanded {
                verdicts.push((
                    tier,
                    Verdict::Failed("demanded, and left out by an option".to_owned()),
                    0.0,
                ));
            }
            continue;
        }
        println!("\n== {tier}");
        let tier_begin = Instant::now();
        let verdict = match tier.missing() {
            Some((why, _)) if demanded => {
                Verdict::Failed(format!("demanded, and cannot run here: {why}"))
            }
            Some((why, how)) => Verdict::LeftOut { why, how },
            None => match tier.run(&mut tally) {
                Ok(()) => Verdict::Passed,
                Err(failure) => Verdict::Failed(failure.to_string()),
            },
        };
        verdicts.push((tier, verdict, tier_begin.elapsed().as_secs_f64()));
    }
    summary(&verdicts, &tally, begin)
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            self.to_possible_value()
                .expect("no tier is skipped")
                .get_name(),
        )
    }
}

impl Tier {
    /// Why this tier cannot run on this machine, and what would change that.
    fn missing(self) -> Option<(String, &'static str)> {
        match self {
            Self::Format => component("fmt", "rustup component add rustfmt"),
            Self::Lints => component("clippy", "rustup component add clippy"),
            Self::Libpcap => {
                let headers = [
                    "/usr/include/pcap.h",
                    "/usr/include/pcap/pcap.h",
                    "/usr/local/include/pcap.h",
                ];
                (!headers.iter().any(|file| Path::new(file).exists())).then(|| {
                    (
                        "libpcap is not installed".to_owned(),
                        "apt-get install libpcap-dev",
                    )
                })
            }
            Self::Deny => component("deny", "cargo install --locked cargo-deny"),
            Self::Object => build_ebpf::missing_toolchain().map(|why| {
                (
                    why,
                    "`cargo xtask build-ebpf` says which packages to install",
                )
            }),
            Self::Kernel => not_capable().map(|why| {
                (
                    why,
                    "run `cargo xtask test --only kernel` as root on Linux 6.6 or later",
                )
            }),
            Self::Docs | Self::Tests | Self::Loom => None,
        }
    }

    fn run(self, tally: &mut Tally) -> Result<(), Failure> {
        match self {
            Self::Format => run_program(cargo().args(["fmt", "--all", "--check"])),
            Self::Lints => run_program(cargo().args([
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ])),
            Self::Docs => run_program(
                cargo()
                    .args(["doc", "--quiet", "--workspace", "--no-deps"])
                    .env("RUSTDOCFLAGS", "-D warnings"),
            ),
            Self::Tests => run_tests(
                cargo().args(["test", "--workspace", "--no-fail-fast"]),
                tally,
            )
            .map(drop),
            // Its own target folder: other flags would rebuild everything, twice in each run. What is built for these few tests is
            // worth no optimisation, but for what goes through the interleavings.
            Self::Loom => run_tests(
                cargo()
                    .args(["--config", "profile.dev.opt-level=0"])
                    .args(["--config", "profile.dev.package.'*'.opt-level=0"])
                    .args(["--config", "profile.dev.package.loom.opt-level=2"])
                    .args(["--config", "profile.dev.package.generator.opt-level=2"])
                    .args([
                        "test",
                        "--package",
                        "model",
                        "--lib",
                        "--target-dir",
                        "target/loom",
                        "publish",
                    ])
                    .env("RUSTFLAGS", "--cfg loom"),
                tally,
            )
            .and_then(|ran| some(ran, "loom")),
            Self::Libpcap => {
                let with_libpcap = |command: &str| -> Command {
                    let mut cargo = cargo();
                    cargo.args([command, "--package", "sensor", "--features", "libpcap"]);
                    cargo
                };
                // What the feature changes: the other targets are the same with it as without.
                run_program(
                    with_libpcap("clippy")
                        .args(["--quiet", "--lib", "--bins", "--test", "kernel_libpcap"])
                        .args(["--", "-D", "warnings"]),
                )?;
                // Its tests open interfaces in namespaces of their own, which takes what the kernel tests take.
                if not_capable().is_some() {
                    return Ok(());
                }
                // All of the sensor is built for four tests of a few packets: without optimisation, in a third of the time.
                let ran = run_tests(
                    with_libpcap("test")
                        .args(["--config", "profile.dev.opt-level=0"])
                        .args(["--test", "kernel_libpcap"])
                        .args(["--", "--ignored", "--test-threads=1"]),
                    tally,
                )?;
                some(ran, "libpcap")
            }
            Self::Deny => run_program(cargo().args(["deny", "check"])),
            Self::Object => build_ebpf::check(),
            Self::Kernel => {
                let ran = kernel_tests(tally)?;
                some(ran, "kernel")
            }
        }
    }
}

/// One at a time: they attach to interfaces and count what passes. Each is `#[ignore]`d, for plain runs to pass by. Those
/// `at_size` take minutes and are run by hand. Those of libpcap are a tier of their own.
fn kernel_tests(tally: &mut Tally) -> Result<u64, Failure> {
    let mut cargo = cargo();
    cargo
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(["--test", "kernel_*"])
        .args(["--", "--ignored", "--test-threads=1", "--skip", "at_size"]);
    let ran = run_tests(&mut cargo, tally)?;
    // The first run counted them as ignored.
    tally.ignored = tally.ignored.saturating_sub(ran);
    Ok(ran)
}

/// A tier of tests in which none ran has proved nothing.
fn some(ran: u64, what: &str) -> Result<(), Failure> {
    if ran > 0 {
        Ok(())
    } else {
        Err(Failure::Check(format!("no {what} test ran")))
    }
}

fn component(name: &str, how: &'static str) -> Option<(String, &'static str)> {
    let there = cargo()
        .args([name, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    (!there).then(|| (format!("cargo {name} is not installed"), how))
}

/// Why the kernel tests cannot run: they need Linux with TCX (6.6; the product does without it), the capabilities, and
/// namespaces of their own.
fn not_capable() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("not Linux".to_owned());
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    if let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next())
        && (major, minor) < (6_u32, 6_u32)
    {
        return Some(format!("Linux {} has no TCX", release.trim()));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    // capabilities(7): CAP_NET_ADMIN 12, CAP_SYS_ADMIN 21, CAP_BPF 39.
    for (bit, name) in [
        (12, "CAP_NET_ADMIN"),
        (21, "CAP_SYS_ADMIN"),
        (39, "CAP_BPF"),
    ] {
        if effective & (1 << bit) == 0 {
            return Some(format!("not root (no {name})"));
        }
    }
    for program in ["ip", "unshare"] {
        if find(program).is_none() {
            return Some(format!("{program} is not installed"));
        }
    }
    let namespaces = Command::new("unshare")
        .args([
            "--net", "ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    (!namespaces).then(|| "no network namespace with a veth pair can be made".to_owned())
}

/// The closing lines: every tier, what was left out, one sentence, and the sum in cargo's own format.
fn summary(verdicts: &[(Tier, Verdict, f64)], tally: &Tally, begin: Instant) -> ExitCode {
    println!("\n== summary");
    let mut failed = Vec::new();
    let mut left_out = Vec::new();
    for (tier, verdict, seconds) in verdicts {
        match verdict {
            Verdict::Passed => println!("  {:<9} passed    {seconds:.0} s", tier.to_string()),
            Verdict::Failed(why) => {
                println!("  {:<9} FAILED    {why}", tier.to_string());
                failed.push(tier.to_string());
            }
            Verdict::LeftOut { why, how } => {
                println!("  {:<9} left out  {why}; {how}", tier.to_string());
                left_out.push(tier.to_string());
            }
        }
    }
    let ok = failed.is_empty() && tally.failed == 0;
    if !ok {
        println!("Failed: {}.", failed.join(", "));
    } else if left_out.is_empty() {
        println!("Everything passed.");
    } else {
        println!(
            "What can run here passed. Left out: {}.",
            left_out.join(", ")
        );
    }
    println!("{}", tally.line(ok, begin.elapsed()));
    if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
