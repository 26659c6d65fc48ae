//! The servers of the office and of the outside world, and the recorder on the mirror port.

use std::{
    fmt::Write as _,
    fs,
    io::Read as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    office::{Office, SITES},
    rng::Rng,
    stop::Stop,
};
use crate::process::{Failure, run};

/// Starts all servers; each stays until the namespaces end.
pub(super) fn start(office: &Office) -> Result<(), Failure> {
    content(office)?;
    web(office)?;
    names_and_time(office)?;
    files(office)
}

/// Web pages, and files to copy.
fn content(office: &Office) -> Result<(), Failure> {
    let mut rng = Rng::new(7, 7);
    for (folder, files, smallest, largest) in [("www", 40, 400, 60_000), ("share", 30, 500, 60_000)]
    {
        let folder = office.path(folder);
        fs::create_dir_all(&folder).map_err(Failure::file(&folder))?;
        for index in 0..files {
            // Sizes spread evenly in their logarithm, as those of real pages do.
            let share = f64::from(index) / f64::from(files - 1);
            let size = f64::from(smallest) * (f64::from(largest) / f64::from(smallest)).powf(share);
            let file = folder.join(format!("{index}.bin"));
            fs::write(&file, rng.bytes(size as usize)).map_err(Failure::file(&file))?;
        }
    }
    for (name, size) in [
        ("www/large.bin", 700_000),
        ("share/backup.bin", 600_000),
        ("upload.bin", 500_000),
        ("loot.bin", 16_000_000),
    ] {
        let file = office.path(name);
        fs::write(&file, rng.bytes(size)).map_err(Failure::file(&file))?;
    }
    Ok(())
}

fn web(office: &Office) -> Result<(), Failure> {
    run(Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=example.com",
        ])
        .arg("-keyout")
        .arg(office.path("tls.key"))
        .arg("-out")
        .arg(office.path("tls.crt"))
        .stderr(Stdio::null()))?;
    for host in ["outside", "intranet"] {
        let scratch = office.path("").display().to_string();
        // Uploads are read to the end: the inner server answers once the outer has the whole body.
        let configuration = format!(
            "user root;\nworker_processes 1;\nerror_log {scratch}{host}-error.log;\npid {scratch}{host}.pid;\n\
             events {{ worker_connections 512; }}\n\
             http {{\n  access_log off;\n  client_max_body_size 0;\n  keepalive_timeout 20s;\n  server_tokens off;\n\
             client_body_temp_path {scratch}{host}-body;\n  proxy_temp_path {scratch}{host}-proxy;\n\
             server {{\n    listen 80;\n    listen [::]:80;\n    listen 443 ssl;\n    listen [::]:443 ssl;\n\
             ssl_certificate {scratch}tls.crt;\n    ssl_certificate_key {scratch}tls.key;\n\
             location /upload {{ proxy_pass http://127.0.0.1:8081; }}\n    location / {{ root {scratch}www; }}\n  }}\n\
             server {{ listen 127.0.0.1:8081; location / {{ return 204; }} }}\n}}\n"
        );
        let file = office.path(&format!("{host}.conf"));
        fs::write(&file, configuration).map_err(Failure::file(&file))?;
        office.sh(host, &format!("nginx -c {}", file.display()))?;
    }
    Ok(())
}

fn names_and_time(office: &Office) -> Result<(), Failure> {
    let mut configuration = format!(
        "port=53\nno-resolv\nno-hosts\nno-poll\nuser=root\npid-file={}\nlisten-address=192.168.20.1\nbind-interfaces\n\
         local-ttl=5\naddress=/#/\nhost-record=files.office.example,192.168.20.5\n\
         host-record=intranet.office.example,192.168.20.6\n",
        office.path("dnsmasq.pid").display()
    );
    for (name, v4, v6) in SITES {
        let v6 = v6.map(|address| format!(",{address}")).unwrap_or_default();
        let _ = writeln!(configuration, "host-record={name},{v4}{v6}");
    }
    let file = office.path("dnsmasq.conf");
    fs::write(&file, configuration).map_err(Failure::file(&file))?;
    office.sh("gateway", &format!("dnsmasq -C {}", file.display()))?;

    // `-x`: serves the time, never sets it.
    let file = office.path("chrony.conf");
    let configuration = format!(
        "local stratum 8\nallow 192.168.20.0/24\ncmdport 0\npidfile {}\n",
        office.path("chrony.pid").display()
    );
    fs::write(&file, configuration).map_err(Failure::file(&file))?;
    office.sh(
        "gateway",
        &format!("chronyd -x -u root -f {}", file.display()),
    )
}

/// OpenSSH and rsync on the file server.
fn files(office: &Office) -> Result<(), Failure> {
    for name in ["host_key", "user_key"] {
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "office", "-f"])
            .arg(office.path(name)))?;
    }
    let scratch = office.path("").display().to_string();
    let file = office.path("sshd.conf");
    let configuration = format!(
        "Port 22\nHostKey {scratch}host_key\nAuthorizedKeysFile {scratch}user_key.pub\nPermitRootLogin yes\n\
         PasswordAuthentication yes\nUsePAM no\nStrictModes no\nUseDNS no\nPrintMotd no\nPidFile {scratch}sshd.pid\n\
         Subsystem sftp internal-sftp\n"
    );
    fs::write(&file, configuration).map_err(Failure::file(&file))?;
    let sshd = crate::process::find("sshd").unwrap_or_else(|| PathBuf::from("/usr/sbin/sshd"));
    office.sh(
        "files",
        &format!("{} -f {}", sshd.display(), file.display()),
    )?;

    let file = office.path("rsyncd.conf");
    let configuration = format!(
        "pid file = {scratch}rsyncd.pid\nuse chroot = no\nuid = root\ngid = root\n[share]\n  path = {scratch}share\n  read only = yes\n"
    );
    fs::write(&file, configuration).map_err(Failure::file(&file))?;
    office.sh(
        "files",
        &format!("rsync --daemon --config={}", file.display()),
    )
}

/// tcpdump on the mirror port.
pub(super) struct Tap {
    child: Child,
    file: PathBuf,
}

/// What the tap took.
pub(super) struct Taken {
    /// The capture.
    pub(super) file: PathBuf,
    /// Packets in it.
    pub(super) packets: u64,
}

/// Enough for Ethernet, IPv6 and TCP with options, or a DNS question; not for content.
const SNAP_BYTES: &str = "96";

impl Tap {
    pub(super) fn start(office: &Office) -> Result<Self, Failure> {
        let file = office.path("office.pcap");
        let child = Command::new("ip")
            .args([
                "netns", "exec", "sensor", "tcpdump", "-i", "tap0", "-n", "-U", "-B", "32768",
                "-Z", "root",
            ])
            .args(["-Q", "in", "-s", SNAP_BYTES, "-w"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| Failure::Start {
                program: "tcpdump".to_owned(),
                source,
            })?;
        // tcpdump has no sign that it listens other than its file.
        let stop = Stop::default();
        for _ in 0..50 {
            if file.is_file() {
                return Ok(Self { child, file });
            }
            stop.wait(Duration::from_millis(100));
        }
        Err(Failure::Unable(
            "tcpdump did not begin within 5 s".to_owned(),
        ))
    }

    /// Ends the recording; a single lost frame fails it.
    pub(super) fn finish(mut self) -> Result<Taken, Failure> {
        Stop::default().wait(Duration::from_secs(1));
        run(Command::new("sh").args(["-c", &format!("kill -INT {}", self.child.id())]))?;
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr
                .read_to_string(&mut said)
                .map_err(Failure::file(&self.file))?;
        }
        self.child.wait().map_err(Failure::file(&self.file))?;
        let count = |what: &str| -> Option<u64> {
            said.lines()
                .find(|line| line.ends_with(what))
                .and_then(|line| line.split(' ').next()?.parse().ok())
        };
        match (
            count("packets captured"),
            count("packets dropped by kernel"),
        ) {
            (Some(packets), Some(0)) => Ok(Taken {
                file: self.file,
                packets,
            }),
            _ => Err(Failure::Check(format!(
                "the recording is not complete: {said}"
            ))),
        }
    }
}
