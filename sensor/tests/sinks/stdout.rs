//! Lines on standard output, read through a pipe: by somebody slow, and by somebody who leaves.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use sensor::{
    metrics::Metrics,
    sink::{
        message::Message,
        outlet::{
            Encode,
            file::{Rotation, ToFile},
            stdout::ToStdout,
        },
    },
};

use super::{alert, outlets, pause, start, until};

/// Where the process that writes has its spool; absent where the tests run.
const FOLDER: &str = "SINKS_TEST_STDOUT";
const LINES: u64 = 1000;

/// A line with its number at both ends, shorter and longer than what a pipe takes at once (PIPE_BUF).
fn line(number: u64) -> String {
    let filling = "x".repeat((number * 7919 % 9000) as usize);
    format!("#{number} {filling} {number}")
}

/// As [`line`].
struct Lines;

impl Encode for Lines {
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>) {
        if let Message::Alert(alert) = message {
            let number = u64::from_str_radix(&alert.id, 16).expect("a number");
            parcels.push(format!("{}\n", line(number)).into_bytes());
        }
    }
}

/// No test of its own: the process that writes, to standard output and to a file. It ends when it hears so.
#[test]
fn the_process_that_writes() {
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    // libtest has begun a line.
    let begun = std::io::stdout().write_all(b"\n");
    begun.expect("somebody listens");
    let mut outlets = outlets(&folder.join("spool"), &Metrics::new());
    let to_stdout = Box::<ToStdout>::default();
    let out = start(&mut outlets, "eve", Box::new(Lines), to_stdout);
    let rotation = Rotation { bytes: 0, files: 0 };
    let to_file = Box::new(ToFile::new(folder.join("beside"), rotation));
    let beside = start(&mut outlets, "ecs", Box::new(Lines), to_file);
    if !folder.join("begun").exists() {
        for number in 0..LINES {
            out.send(alert(number)).expect("open");
            beside.send(alert(number)).expect("open");
        }
        fs::write(folder.join("begun"), "").expect("a file");
    }
    let mut heard = String::new();
    std::io::stdin().read_line(&mut heard).expect("a line");
    drop((out, beside));
    let left = outlets.stop(Duration::from_secs(8));
    let waiting = left[0].waiting.to_string();
    fs::write(folder.join("waiting"), waiting).expect("a file");
}

fn spawn(folder: &Path) -> Child {
    Command::new(env::current_exe().expect("a program"))
        .args(["--exact", "stdout::the_process_that_writes", "--nocapture"])
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts")
}

fn end(mut child: Child) -> bool {
    let stdin = child.stdin.take().expect("piped");
    drop(stdin);
    child.wait().expect("ends").success()
}

/// All that it writes. It is told to end when the last line is there: its end bounds how long it delivers.
fn read_to_the_end(child: Child, out: impl Read + Send + 'static) -> Vec<String> {
    let mut rest = BufReader::new(out).lines();
    let mut lines = Vec::new();
    for line in rest.by_ref() {
        let line = line.expect("UTF-8");
        let is_last = line.starts_with(&format!("#{} ", LINES - 1));
        lines.push(line);
        if is_last {
            break;
        }
    }
    // What it says at its end is read, so that it can say it.
    let after = std::thread::spawn(move || rest.map_while(Result::ok).collect::<Vec<_>>());
    assert!(end(child));
    lines.extend(after.join().expect("read"));
    lines
}

/// The file beside has every line, whatever became of standard output.
fn beside_has_all(folder: &Path) {
    until("the sink beside has everything", || {
        let text = fs::read_to_string(folder.join("beside")).unwrap_or_default();
        text.lines().count() as u64 == LINES
    });
}

/// Numbers of the lines, each whole.
fn numbers(lines: impl IntoIterator<Item = String>) -> Vec<u64> {
    let ours = lines.into_iter().filter(|line| line.starts_with('#'));
    ours.map(|text| {
        let number = text[1..]
            .split(' ')
            .next()
            .and_then(|word| word.parse().ok());
        let number = number.unwrap_or_else(|| panic!("no number: {text:.60}"));
        assert!(text == line(number), "not whole: {number}");
        number
    })
    .collect()
}

/// One at a time: what is written by a process and read by its parent is measured against their patience.
static ONE: Mutex<()> = Mutex::new(());

#[test]
fn a_reader_that_sleeps_gets_each_line_whole_and_once() {
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = spawn(folder.path());
    let mut out = child.stdout.take().expect("piped");
    let mut first = vec![0; 100_000];
    out.read_exact(&mut first).expect("something");
    // Longer than the outlet waits for a reader (5 s): it fails in the middle of a line, and goes on there.
    beside_has_all(folder.path());
    pause(Duration::from_secs(6));
    let lines = read_to_the_end(child, std::io::Cursor::new(first).chain(out));
    assert_eq!(numbers(lines), (0..LINES).collect::<Vec<_>>());
    let waiting = fs::read_to_string(folder.path().join("waiting")).expect("it ended well");
    assert_eq!(waiting, "0");
}

#[test]
fn a_reader_that_leaves_ends_nothing_and_the_next_start_writes_the_rest() {
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = spawn(folder.path());
    let mut reader = BufReader::new(child.stdout.take().expect("piped"));
    let mut lines = Vec::new();
    while lines
        .iter()
        .filter(|line: &&String| line.starts_with('#'))
        .count()
        < 50
    {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).expect("UTF-8") > 0, "it ended");
        lines.push(line.trim_end().to_owned());
    }
    drop(reader);
    beside_has_all(folder.path());
    // Its own last words find no reader either, so that it may well say that it failed; it did end, and not by a signal.
    end(child);
    let waiting = fs::read_to_string(folder.path().join("waiting")).expect("it was not killed");
    assert_ne!(waiting, "0", "what nobody read waits");

    let mut child = spawn(folder.path());
    let out = child.stdout.take().expect("piped");
    let first = numbers(lines);
    let second = numbers(read_to_the_end(child, out));
    assert_eq!(first, (0..50).collect::<Vec<_>>());
    // What lay in the pipe was taken by the system, and went with it: nobody can tell.
    let begin = second.first().copied().expect("the rest");
    assert!((50..LINES).contains(&begin), "{begin}");
    assert_eq!(second, (begin..LINES).collect::<Vec<_>>(), "without a gap");
    let waiting = fs::read_to_string(folder.path().join("waiting")).expect("it ended well");
    assert_eq!(waiting, "0");
}
