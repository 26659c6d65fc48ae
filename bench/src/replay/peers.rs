//! What else makes flow records of a capture, as far as it is installed. Each gets the options that make it
//! fastest on a file, and is given the same bytes and the same one CPU.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{BenchError, process::Job};

/// A program to compare with.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) job: Job,
}

const SOFTFLOWD: &str = "softflowd";
const SOFTFLOWD_PLAIN: &str = "softflowd (as installed)";
const NFPCAPD: &str = "nfpcapd";
const NFSTREAM: &str = "nfstream";

/// NFStream's own way to read a file, one meter process, statistical features on as ours are.
const NFSTREAM_SCRIPT: &str = "import sys\n\
    from nfstream import NFStreamer\n\
    flows = sum(1 for _ in NFStreamer(source=sys.argv[1], statistical_analysis=True, n_dissections=0, n_meters=1))\n\
    print('nfstream flows', flows)\n";

/// The peers that are there.
pub(super) fn installed(capture: &Path, scratch: &Path) -> Result<Vec<Peer>, BenchError> {
    let mut peers = Vec::new();
    if let Some(program) = find("softflowd") {
        let version = first_line(&program, "-h", "version");
        // No collector: it makes its export packets and has nowhere to send them, which spares it the sending. `-a`
        // expires flows by packet time, as we do; a large table spares it forced expiry.
        for (name, options) in [
            (SOFTFLOWD, &["-a", "-m", "1000000"][..]),
            (SOFTFLOWD_PLAIN, &[]),
        ] {
            let job = |file: &Path| {
                Job::new(&program)
                    .arg("-r")
                    .arg(file)
                    .args(&["-d", "-c", "none", "-p"])
                    .arg(std::env::temp_dir().join("anomaly-detect-bench.pid"))
                    .args(options)
            };
            match padding(capture, &job)? {
                Some(padding) => peers.push(Peer {
                    name,
                    version: version.clone(),
                    job: job(capture).with_padding(padding),
                }),
                None => eprintln!("{name}: hangs on this capture, left out"),
            }
        }
    }
    if let Some(program) = find("nfpcapd") {
        let folder = scratch.join("nfpcapd");
        // One output file: rotating every five minutes of packet time is most of its work on a long capture.
        let job = Job::new(&program)
            .arg("-r")
            .arg(capture)
            .arg("-w")
            .arg(&folder)
            .args(&["-t", "31536000", "-B", "1000000"])
            .with_empty(&folder);
        peers.push(Peer {
            name: NFPCAPD,
            version: first_line(&program, "-V", "Version"),
            job,
        });
    }
    let python = PathBuf::from(
        std::env::var_os("NFSTREAM_PYTHON")
            .unwrap_or_else(|| scratch.join("nfstream/bin/python").into()),
    );
    if python.is_file() {
        let version = first_line_of(
            &python,
            &[
                "-c",
                "import nfstream; print('version', nfstream.__version__)",
            ],
            "version",
        );
        if version != UNKNOWN {
            let job = Job::new(&python)
                .arg("-c")
                .arg(NFSTREAM_SCRIPT)
                .arg(capture);
            peers.push(Peer {
                name: NFSTREAM,
                version,
                job,
            });
        }
    }
    Ok(peers)
}

/// softflowd 1.1.0 tests an uninitialised `revents` when it reads a file and, depending on what lies on its stack,
/// waits for ever on its control socket. The length of its environment moves the stack: this finds one that works,
/// on the beginning of the capture under a name of equal length.
fn padding(capture: &Path, job: &dyn Fn(&Path) -> Job) -> Result<Option<usize>, BenchError> {
    let name = capture
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let probe = capture.with_file_name(format!("~{}", name.get(1..).unwrap_or_default()));
    let failed = |source| BenchError::File {
        path: probe.clone(),
        source,
    };
    let mut beginning = Vec::new();
    fs::File::open(capture)
        .and_then(|file| file.take(1 << 16).read_to_end(&mut beginning))
        .map_err(failed)?;
    fs::write(&probe, beginning).map_err(failed)?;
    let works = (0..64).step_by(4).find(|padding| {
        job(&probe)
            .with_padding(*padding)
            .ends_within(Duration::from_secs(1))
    });
    fs::remove_file(&probe).map_err(failed)?;
    Ok(works)
}

/// Packets and flows that a peer says it handled.
pub(super) fn counts(name: &str, output: &str) -> (Option<u64>, Option<u64>) {
    match name {
        SOFTFLOWD | SOFTFLOWD_PLAIN => {
            let (packets, ignored) = (
                after(output, "Packets processed: "),
                after(output, "Ignored packets: "),
            );
            (
                packets.map(|packets| packets + ignored.unwrap_or(0)),
                after(output, "Flows expired: "),
            )
        }
        NFPCAPD => {
            let flows = output
                .match_indices("Flows: ")
                .filter_map(|(at, _)| number(&output[at + 7..]))
                .sum();
            (after(output, "Total: Processed: "), Some(flows))
        }
        NFSTREAM => (None, after(output, "nfstream flows ")),
        _ => (None, None),
    }
}

fn after(output: &str, label: &str) -> Option<u64> {
    number(&output[output.find(label)? + label.len()..])
}

fn number(text: &str) -> Option<u64> {
    let digits = text
        .trim_start()
        .split(|c: char| !c.is_ascii_digit())
        .next()?;
    digits.parse().ok()
}

const UNKNOWN: &str = "unknown";

fn first_line(program: &Path, argument: &str, containing: &str) -> String {
    first_line_of(program, &[argument], containing)
}

fn first_line_of(program: &Path, arguments: &[&str], containing: &str) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    let text = output
        .map(|output| [output.stdout, output.stderr].concat())
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| {
        Some(
            line[line.find(containing)? + containing.len()..]
                .trim_start_matches(':')
                .trim()
                .to_owned(),
        )
    });
    line.map_or_else(
        || UNKNOWN.to_owned(),
        |version| {
            version
                .trim_end_matches('.')
                .split(". ")
                .next()
                .unwrap_or_default()
                .to_owned()
        },
    )
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_peers_say() {
        let said = "Packets processed: 156301\nIgnored packets: 4871 (4871 non-IP, 0 too short)\nFlows expired: 11392 (2810 forced)\n";
        assert_eq!(counts(SOFTFLOWD, said), (Some(161_172), Some(11_392)));
        let said = "Ident: 'none' Flows: 15, Packets: 81\nIdent: 'none' Flows: 47, Packets: 85\nTotal: Processed: 161172, skipped: 841\n";
        assert_eq!(counts(NFPCAPD, said), (Some(161_172), Some(62)));
        assert_eq!(counts(NFSTREAM, "nfstream flows 77\n"), (None, Some(77)));
    }
}
