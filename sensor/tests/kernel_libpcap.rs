//! Live capture through libpcap, on the loopback interface of a network namespace of its own.
//!
//! ```text
//! sender ── 127.0.0.1 ── lo ── 127.0.0.1 ── receiver
//!                         └── libpcap
//! ```
#![cfg(all(target_os = "linux", feature = "libpcap"))]

use std::{net::UdpSocket, process::Command, thread, time::Duration};

use sensor::capture::{
    Capture, Epoch, Progress,
    libpcap::{Libpcap, LibpcapError, Settings},
};
use sensor_ebpf::flow::FlowKey;

/// Until which anything here is over, or hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `body` in a thread with a network namespace of its own, which goes away with the thread.
fn in_namespace(body: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            // SAFETY: `unshare` touches no memory; it moves this thread alone into a new namespace.
            let done = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
            let up = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status()
                .expect("ip (iproute2)");
            assert!(up.success());
            body();
        });
        if let Err(panic) = inside.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
#[ignore = "kernel: needs root"]
fn packets_on_loopback_are_counted_and_time_moves_on() {
    const PACKETS: u64 = 20_000;
    in_namespace(|| {
        // The kernel fills a block of 256 KiB for 10 ms, however little comes (TPACKET_V3): 512 of them are for a reader who is away
        // for five seconds, where those of the default are for half a second.
        let settings = Settings {
            buffer_bytes: 128 << 20,
            ..Settings::on(["lo"])
        };
        let mut capture = Libpcap::open(&settings).expect("capture");
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("receiver");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("sender");
        let ports = [
            sender.local_addr().expect("address").port(),
            receiver.local_addr().expect("address").port(),
        ];
        let to = receiver.local_addr().expect("address");
        let sending = thread::spawn(move || {
            for _ in 0..PACKETS {
                sender.send_to(b"hello", to).expect("send");
            }
        });
        let is_sent =
            |key: &FlowKey| key.protocol == 17 && ports.iter().all(|port| key.ports.contains(port));
        let mut epochs: Vec<Epoch> = Vec::new();
        until_quiet(&mut capture, PACKETS, |epoch| {
            assert!(epochs.last().is_none_or(|last| last.index < epoch.index));
            epochs.push(epoch.clone());
            let sent = epoch.flows.iter().filter(|(key, _)| is_sent(key));
            sent.map(|(_, counters)| counters.packets()).sum()
        });
        sending.join().expect("sender");
        drop(receiver);
        let report = capture.report();
        assert_eq!(report.dropped_by_kernel, 0, "{report:?}");
        let flow: Vec<_> = epochs
            .iter()
            .flat_map(|epoch| &epoch.flows)
            .filter(|(key, _)| is_sent(key))
            .collect();
        let packets: u64 = flow.iter().map(|(_, counters)| counters.packets()).sum();
        assert_eq!(packets, PACKETS, "{report:?}");
        assert!(flow.iter().all(|(_, counters)| {
            counters
                .halves
                .iter()
                .all(|half| half.ip_bytes == half.packets * 33)
        }));
        let quiet = epochs.iter().filter(|epoch| epoch.ledger.seen == 0).count();
        assert!(quiet >= 1, "{} epochs", epochs.len());
    });
}

#[test]
#[ignore = "kernel: needs root"]
fn fragments_on_loopback_are_followed_by_option() {
    const DATAGRAMS: u64 = 40;
    for follow_fragments in [false, true] {
        in_namespace(|| {
            let short = ["link", "set", "lo", "mtu", "1500"];
            let status = Command::new("ip").args(short).status();
            assert!(status.expect("ip (iproute2)").success());
            let settings = Settings {
                follow_fragments,
                ..Settings::on(["lo"])
            };
            let mut capture = Libpcap::open(&settings).expect("capture");
            let receiver = UdpSocket::bind("127.0.0.1:0").expect("receiver");
            let sender = UdpSocket::bind("127.0.0.1:0").expect("sender");
            let to = receiver.local_addr().expect("address");
            let sending = thread::spawn(move || {
                for _ in 0..DATAGRAMS {
                    // Three fragments.
                    sender.send_to(&[7; 4_000], to).expect("send");
                }
            });
            let (mut with_ports, mut later, mut followed) = (0, 0, 0);
            until_quiet(&mut capture, 3 * DATAGRAMS, |epoch| {
                let before = with_ports + later;
                followed += epoch.fragments.followed;
                for (key, counters) in epoch.flows.iter().filter(|(key, _)| key.protocol == 17) {
                    match key.is_later_fragment() {
                        false => with_ports += counters.packets(),
                        true => later += counters.packets(),
                    }
                }
                with_ports + later - before
            });
            sending.join().expect("sender");
            drop(receiver);
            let expected = match follow_fragments {
                true => (3 * DATAGRAMS, 0, 2 * DATAGRAMS),
                false => (DATAGRAMS, 2 * DATAGRAMS, 0),
            };
            assert_eq!((with_ports, later, followed), expected);
        });
    }
}

/// Captures until so many of the packets that `each` finds in an epoch have come, and after them an epoch without any: time has to
/// move on all the same.
fn until_quiet(capture: &mut Libpcap, wanted: u64, mut each: impl FnMut(&Epoch) -> u64) {
    let stop = capture.stop_handle();
    let guard = stop.clone();
    thread::spawn(move || {
        if !guard.wait(PATIENCE) {
            guard.stop();
        }
    });
    let (mut have, mut epoch) = (0, Epoch::default());
    while capture.next_epoch(&mut epoch).expect("capture") == Progress::Epoch {
        assert_eq!(epoch.ledger.unaccounted(), 0);
        have += each(&epoch);
        if have >= wanted && epoch.ledger.seen == 0 {
            stop.stop();
        }
    }
}

#[test]
#[ignore = "kernel: needs root"]
fn what_cannot_be_captured_is_named() {
    in_namespace(|| {
        let error = Libpcap::open(&Settings::on(["eth77"]))
            .err()
            .expect("refused");
        assert!(matches!(error, LibpcapError::NoInterface { .. }), "{error}");
        assert_eq!(error.exit_code(), 69);
        let line = error.to_string();
        assert!(line.contains("eth77") && line.contains("lo"), "{line}");
        assert!(matches!(
            Libpcap::open(&Settings::on([""; 0])),
            Err(LibpcapError::NoInterfaces)
        ));
    });
}

#[test]
#[ignore = "kernel: needs root"]
fn a_missing_permission_is_named() {
    in_namespace(|| {
        // A thread without CAP_NET_RAW; it ends with this test.
        // SAFETY: the calls read no memory of ours; `setresuid` by number changes this thread alone.
        let dropped = unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) };
        assert_eq!(dropped, 0);
        let error = Libpcap::open(&Settings::on(["lo"])).err().expect("refused");
        assert!(matches!(error, LibpcapError::Permission { .. }), "{error}");
        assert_eq!(error.exit_code(), 77);
        assert!(error.to_string().contains("CAP_NET_RAW"));
    });
}
