//! What people and machines do all day: each workstation has a user, one host watches the others.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    office::{HOSTS, Office, SITES},
    rng::Rng,
    stop::Stop,
};

/// Options of every ssh here: our key, no questions, nothing remembered.
pub(super) const SSH_OPTIONS: &[&str] = &[
    "-F",
    "none",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
];

/// Starts one thread per acting host; they end soon after `stop`.
pub(super) fn start(office: &Arc<Office>, stop: &Arc<Stop>, seed: u64) -> Vec<JoinHandle<()>> {
    let mut threads = Vec::new();
    for (index, host) in HOSTS.iter().enumerate() {
        let (office, stop) = (Arc::clone(office), Arc::clone(stop));
        let rng = Rng::new(seed, index as u64);
        match host.name {
            "monitor" => threads.push(thread::spawn(move || watch(&office, &stop))),
            name if name.starts_with("ws") => {
                // Nobody works at the same pace.
                let pace = Duration::from_millis(1400 + 350 * (index as u64 % 4));
                threads.push(thread::spawn(move || {
                    User {
                        office,
                        stop,
                        rng,
                        host: name,
                    }
                    .work(pace);
                }));
            }
            _ => {}
        }
    }
    threads
}

struct User {
    office: Arc<Office>,
    stop: Arc<Stop>,
    rng: Rng,
    host: &'static str,
}

impl User {
    fn work(mut self, pace: Duration) {
        loop {
            let pause = self.rng.pause(pace);
            if self.stop.wait(pause) {
                return;
            }
            match self.rng.below(100) {
                0..52 => self.browse(),
                52..62 => self.intranet(),
                62..72 => self.look_up(),
                72..80 => self.poll_api(),
                80..83 => self.download(),
                83..85 => self.upload(),
                85..89 => self.copy(),
                89..91 => self.synchronise(),
                91..94 => self.shell(),
                94..97 => self.set_clock(),
                97..98 => self.mistype_password(),
                _ => self.mistake(),
            }
        }
    }

    /// A failing program is traffic too: its status does not matter.
    fn act(&self, program: &str, arguments: &[&str]) {
        let _ = self
            .office
            .on(self.host, 40, program)
            .args(arguments)
            .status();
    }

    fn curl(&self, arguments: &[&str]) {
        self.act("curl", &[&["-sk", "--max-time", "30"], arguments].concat());
    }

    /// A page with its parts, over up to three connections, from a site and often its content server.
    fn browse(&mut self) {
        let scheme = if self.rng.below(4) == 0 {
            "http"
        } else {
            "https"
        };
        let (site, ..) = *self.rng.pick(SITES);
        let mut urls = vec![format!("{scheme}://{site}/{}.bin", self.rng.below(20))];
        let parts = self.rng.below(5);
        let (other, ..) = *self.rng.pick(SITES);
        for part in 0..parts {
            let from = if part % 2 == 0 { site } else { other };
            urls.push(format!("{scheme}://{from}/{}.bin", self.rng.below(34)));
        }
        let mut arguments = vec!["--parallel", "--parallel-max", "3"];
        for url in &urls {
            arguments.extend(["-o", "/dev/null", url]);
        }
        self.curl(&arguments);
    }

    fn intranet(&mut self) {
        let first = format!("http://intranet.office.example/{}.bin", self.rng.below(36));
        let second = format!("http://intranet.office.example/{}.bin", self.rng.below(28));
        self.curl(&["-o", "/dev/null", &first, "-o", "/dev/null", &second]);
    }

    fn look_up(&mut self) {
        let (site, ..) = *self.rng.pick(SITES);
        let kind = *self.rng.pick(&["A", "AAAA", "MX", "TXT"]);
        self.act("dig", &["+tries=1", "+time=1", site, kind]);
    }

    /// A small question and answer, as applications ask all day.
    fn poll_api(&mut self) {
        let bytes = self.rng.below(1500) + 50;
        let body = "x".repeat(bytes);
        self.curl(&[
            "-o",
            "/dev/null",
            "--data",
            &body,
            "https://api.example.net/upload",
        ]);
    }

    fn download(&mut self) {
        let site = *self.rng.pick(&["updates.example.com", "video.example.org"]);
        let bytes = 100_000 + self.rng.below(600_000);
        let range = format!("0-{bytes}");
        self.curl(&[
            "-o",
            "/dev/null",
            "-r",
            &range,
            &format!("https://{site}/large.bin"),
        ]);
    }

    /// Pictures to the cloud: uploads are not news here.
    fn upload(&mut self) {
        self.curl(&[
            "-o",
            "/dev/null",
            "-T",
            "upload.bin",
            "https://cloud.example.net/upload",
        ]);
    }

    fn copy(&mut self) {
        let remote = format!(
            "root@files.office.example:{}",
            self.office.path("").display()
        );
        let file = format!("share/{}.bin", self.rng.below(30));
        let key = ["-i", "user_key"];
        if self.rng.below(2) == 0 {
            let to = format!("{remote}from-{}", self.host);
            self.act("scp", &[SSH_OPTIONS, &key, &["-q", &file, &to]].concat());
        } else {
            let from = format!("{remote}{file}");
            let to = format!("to-{}", self.host);
            self.act("scp", &[SSH_OPTIONS, &key, &["-q", &from, &to]].concat());
        }
    }

    fn synchronise(&mut self) {
        let folder = format!("sync-{}/", self.host);
        // Now and then from nothing, otherwise only what is missing.
        if self.rng.below(6) == 0 {
            let _ = std::fs::remove_dir_all(self.office.path(&folder));
        }
        self.act(
            "rsync",
            &["-a", "rsync://files.office.example/share/", &folder],
        );
    }

    /// Somebody types in a terminal.
    fn shell(&mut self) {
        let commands = 3 + self.rng.below(12);
        let line = format!(
            "for i in $(seq {commands}); do ls -l / | head -$i; sleep 0.$((RANDOM % 9 + 1)); done"
        );
        self.act(
            "ssh",
            &[
                SSH_OPTIONS,
                &["-i", "user_key", "root@files.office.example", &line],
            ]
            .concat(),
        );
    }

    fn set_clock(&mut self) {
        let file = format!(
            "pidfile {}",
            self.office
                .path(&format!("chrony-{}.pid", self.host))
                .display()
        );
        self.act(
            "chronyd",
            &[
                "-x",
                "-Q",
                "-u",
                "root",
                "-t",
                "5",
                "server 192.168.20.1 iburst",
                "cmdport 0",
                &file,
            ],
        );
    }

    /// One wrong password, sometimes two; then the right key.
    fn mistype_password(&mut self) {
        for _ in 0..=self.rng.below(2) {
            self.act(
                "sshpass",
                &[
                    &["-p", "Sommer2025", "ssh"],
                    SSH_OPTIONS,
                    &[
                        "-o",
                        "NumberOfPasswordPrompts=1",
                        "root@files.office.example",
                        "true",
                    ],
                ]
                .concat(),
            );
        }
        self.act(
            "ssh",
            &[
                SSH_OPTIONS,
                &["-i", "user_key", "root@files.office.example", "uptime"],
            ]
            .concat(),
        );
    }

    /// What goes wrong on any day: a name that is none, a page that is gone, a port that is closed, a host that is off.
    fn mistake(&mut self) {
        match self.rng.below(4) {
            0 => self.curl(&["http://wwww.example.invalid/"]),
            1 => self.curl(&["-o", "/dev/null", "https://news.example.net/gone.html"]),
            2 => self.curl(&["http://192.168.20.30:631/"]),
            _ => self.curl(&["--connect-timeout", "3", "http://192.168.20.77/"]),
        }
    }
}

/// The monitoring host asks every server every few seconds whether it is there.
fn watch(office: &Office, stop: &Stop) {
    let mut round = 0u32;
    while !stop.wait(Duration::from_secs(12)) {
        round += 1;
        for host in HOSTS.iter().filter(|host| host.name != "monitor") {
            let address = format!("192.168.20.{}", host.number);
            let _ = office
                .on("monitor", 3, "ping")
                .args(["-c", "1", "-W", "1", &address])
                .status();
        }
        for url in [
            "http://192.168.20.6/0.bin",
            "https://192.168.20.6/1.bin",
            "https://www.example.com/0.bin",
        ] {
            let _ = office
                .on("monitor", 5, "curl")
                .args(["-sk", "-o", "/dev/null", url])
                .status();
        }
        // A connection that stops before it has logged in, as a failed login does.
        let _ = office
            .on("monitor", 5, "ssh-keyscan")
            .args(["-T", "2", "-t", "ed25519", "192.168.20.5"])
            .status();
        if round.is_multiple_of(3) {
            let _ = office
                .on("monitor", 5, "dig")
                .args([
                    "+tries=1",
                    "+time=1",
                    "@192.168.20.1",
                    "files.office.example",
                ])
                .status();
            let _ = office
                .on("monitor", 3, "curl")
                .args(["-s", "http://192.168.20.30:9100/"])
                .status();
        }
    }
}
