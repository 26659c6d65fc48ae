//! What is no capture, or only half of one: one clear line, and what is readable is used.

use sensor::capture::replay::{Replay, Settings};

use super::{
    Folder, epochs, gzip, udp,
    write::{self, Frame},
    zstd,
};

/// The error of opening a file with this content, as a user sees it.
fn refusal(content: &[u8]) -> String {
    let folder = Folder::new();
    let path = folder.file("input", content);
    let error = Replay::open(&[path], Settings::default())
        .err()
        .expect("refused");
    assert_eq!(error.exit_code(), 66);
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    line.replace(&folder.0.path().display().to_string(), "DIR")
}

#[test]
fn what_is_no_capture_is_refused_in_one_line() {
    assert_eq!(refusal(b""), "DIR/input: empty file, not a capture");
    assert_eq!(
        refusal(b"#separator \\x09\n"),
        "DIR/input: not a capture (pcap or pcapng, also .gz and .zst); it looks like a Zeek log"
    );
    assert!(refusal(b"ElfFile\0").contains("Windows event log"));
    assert!(refusal(b"{\"a\": 1}").contains("JSON"));
    assert!(refusal(b"time,src,dst\n").contains("text"));
    assert!(refusal(&gzip(b"hello")).contains("text"));
    let header = write::pcap(&[], write::Order::Little, true);
    assert_eq!(
        refusal(&header[..20]),
        "DIR/input: damaged capture, nothing readable in it: at byte 0: the file header is cut"
    );
    assert!(refusal(&gzip(&header)[..12]).contains("damaged capture"));
}

#[test]
fn missing_inputs_are_named() {
    let folder = Folder::new();
    let missing = folder.0.path().join("nothing.pcap");
    let error = Replay::open(std::slice::from_ref(&missing), Settings::default())
        .err()
        .expect("refused");
    assert_eq!(error.exit_code(), 66);
    assert_eq!(
        error.to_string(),
        format!("{}: no such file or folder", missing.display())
    );
    let error = Replay::open(&[folder.0.path().to_owned()], Settings::default())
        .err()
        .expect("refused");
    assert!(error.to_string().contains("no capture in this folder"));
}

#[test]
fn a_folder_stands_for_the_captures_in_it() {
    let folder = Folder::new();
    let frames = [Frame {
        time: 1_500_000_000_000_000_000,
        bytes: udp(2, 1000),
    }];
    let capture = write::pcap(&frames, write::Order::Little, true);
    folder.file("b.PCAP", &capture);
    folder.file("a.pcapng.zst", &zstd(&capture));
    folder.file("security.evtx", b"ElfFile\0");
    folder.file("conn.log", b"#separator");
    folder.file("ground-truth.toml", b"");
    let (epochs, report) = epochs(&[folder.0.path().to_owned()]);
    assert_eq!((epochs.len(), report.packets), (1, 2));
}

#[test]
fn a_cut_capture_is_used_as_far_as_it_goes_and_says_so() {
    let folder = Folder::new();
    let frame = Frame {
        time: 1_500_000_000_000_000_000,
        bytes: udp(2, 1000),
    };
    let file = write::pcap(&[frame.clone(), frame], write::Order::Little, true);
    let path = folder.file("cut.pcap", &file[..file.len() - 3]);
    let (epochs, report) = epochs(std::slice::from_ref(&path));
    assert_eq!(epochs[0].ledger.counted, 1);
    assert_eq!(
        report.warnings(),
        [format!(
            "{}: damaged at byte 86: a record of 46 bytes is cut after 43; used up to there (1 packets), the rest is lost",
            path.display()
        )]
    );
}
