//! One CPU, and child processes measured by the kernel (`wait4`).

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read as _},
    mem,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{BenchError, Sample};

/// What the figures were taken on.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    cpu: String,
    cpu_number: usize,
    cpus: usize,
    kernel: String,
    /// One-minute load before the run: figures from a busy machine are to be read as ratios.
    load: f64,
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            cpu,
            cpu_number,
            cpus,
            kernel,
            load,
        } = self;
        write!(
            f,
            "{cpu}, CPU {cpu_number} of {cpus}, Linux {kernel}, load {load:.2}"
        )
    }
}

/// Keeps this process and all that it starts on one CPU.
pub(super) fn pin(cpu: Option<usize>) -> Result<Machine, BenchError> {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let cpu_number = cpu.unwrap_or(cpus - 1);
    // SAFETY: an all-zero `cpu_set_t` is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `CPU_SET` checks the index against the size of the set.
    unsafe { libc::CPU_SET(cpu_number, &mut set) };
    // SAFETY: the set is as large as we say, and lives across the call; 0 is this thread, which is the only one.
    let status = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if status != 0 {
        return Err(BenchError::Machine(format!(
            "CPU {cpu_number}: {}",
            io::Error::last_os_error()
        )));
    }
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = line("/proc/cpuinfo");
    let model = info.lines().find_map(|line| {
        line.strip_prefix("model name")?
            .split_once(": ")
            .map(|(_, name)| name)
    });
    Ok(Machine {
        cpu: model.unwrap_or("unknown CPU").to_owned(),
        cpu_number,
        cpus,
        kernel: line("/proc/sys/kernel/osrelease").trim().to_owned(),
        load: line("/proc/loadavg")
            .split(' ')
            .next()
            .and_then(|load| load.parse().ok())
            .unwrap_or(0.0),
    })
}

/// A run that takes longer than this is ended.
const LONGEST: Duration = Duration::from_secs(120);

/// A program to run again and again.
pub(super) struct Job {
    program: OsString,
    arguments: Vec<OsString>,
    /// Folder that is made empty before each run.
    empty: Option<std::path::PathBuf>,
    /// Instead of our environment: one variable of this length.
    padding: Option<usize>,
}

impl Job {
    pub(super) fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            empty: None,
            padding: None,
        }
    }

    pub(super) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(super) fn args(self, arguments: &[&str]) -> Self {
        arguments.iter().fold(self, Self::arg)
    }

    pub(super) fn with_empty(mut self, folder: &Path) -> Self {
        self.empty = Some(folder.to_path_buf());
        self
    }

    pub(super) fn with_padding(mut self, bytes: usize) -> Self {
        self.padding = Some(bytes);
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null());
        if let Some(bytes) = self.padding {
            command.env_clear().env("PADDING", "x".repeat(bytes));
        }
        command
    }

    /// Whether a run, whatever its result, is over in time. It is ended otherwise.
    pub(super) fn ends_within(&self, time: Duration) -> bool {
        let Ok(mut child) = self
            .command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
        else {
            return false;
        };
        let (_never, tick) = mpsc::channel::<()>();
        let begin = Instant::now();
        while begin.elapsed() < time {
            if !matches!(child.try_wait(), Ok(None)) {
                return true;
            }
            let _ = tick.recv_timeout(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }

    /// As one would type it, folders left out.
    pub(super) fn typed(&self) -> String {
        let short = |word: &OsString| {
            let path = Path::new(word);
            let name = if path.is_absolute() {
                path.file_name()
            } else {
                None
            };
            name.unwrap_or(word).to_string_lossy().into_owned()
        };
        std::iter::once(&self.program)
            .chain(&self.arguments)
            .map(short)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Runs to the end; answers with what it took and what it said.
    pub(super) fn run(&self) -> Result<(Sample, String), BenchError> {
        let failed = |what: String| BenchError::Run {
            command: self.typed(),
            what,
        };
        if let Some(folder) = &self.empty {
            let _ = fs::remove_dir_all(folder);
            fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        }
        let begin = Instant::now();
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let mut stderr = child.stderr.take().expect("piped");
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            text
        });
        let pid = child.id();
        let (ended, deadline) = mpsc::channel::<()>();
        let watch = thread::spawn(move || {
            let late = deadline.recv_timeout(LONGEST) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                // SAFETY: no memory is involved; the child is ours and is not waited for before this thread has ended.
                unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
            }
            late
        });
        let mut output = Vec::new();
        let read = child.stdout.take().expect("piped").read_to_end(&mut output);
        read.map_err(|error| failed(error.to_string()))?;
        // Its output is at an end: it has ended or is about to, or the watch has ended it.
        drop(ended);
        let late = watch.join().unwrap_or(true);
        let (status, usage) = wait(pid).map_err(|error| failed(error.to_string()))?;
        let wall_seconds = begin.elapsed().as_secs_f64();
        output.extend(errors.join().unwrap_or_default());
        let output = String::from_utf8_lossy(&output).into_owned();
        if late {
            return Err(failed(format!("not done after {LONGEST:?}")));
        }
        if status != 0 {
            return Err(failed(format!("status {status}: {output}")));
        }
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        let sample = Sample {
            wall_seconds,
            cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
            // The kernel counts in KiB (getrusage(2)).
            peak_bytes: usage.ru_maxrss as u64 * 1024,
        };
        Ok((sample, output))
    }
}

/// Waits for a child of ours and takes its resource usage, which the standard library does not hand out.
fn wait(pid: u32) -> io::Result<(i32, libc::rusage)> {
    let mut status = 0;
    // SAFETY: an all-zero `rusage` is a valid one.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals of the right type; nobody else waits for this child.
        let waited = unsafe { libc::wait4(pid as libc::pid_t, &raw mut status, 0, &raw mut usage) };
        if waited >= 0 {
            return Ok((status, usage));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
