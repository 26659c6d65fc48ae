//! What the programs leave behind (nothing), whom they disturb (nobody), and what is said when they cannot be attached.

use std::{
    collections::BTreeMap,
    net::{TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use aya::{
    EbpfLoader,
    programs::{
        SchedClassifier, TcAttachType, tc,
        tc::{NlOptions, TcAttachOptions},
    },
};
use sensor::capture::xdp::{Mode, Proved, Settings, Xdp, XdpError};
use sensor_ebpf::maps::{self, Hook};

use crate::{
    arrivals::Arrivals,
    counted::{Counted, StopOnDrop},
    netns::{Namespace, Pair, Serial, meanwhile, pause},
    process::soon,
};

/// Names of the programs on veth-b.
fn programs_on(namespace: &Namespace) -> Vec<String> {
    let mut names = Vec::new();
    let link = namespace.ip(&["-d", "link", "show", "veth-b"]);
    if link.contains("xdp") {
        names.push("xdp".to_owned());
    }
    let (_, tcx) = namespace
        .within(|| SchedClassifier::query_tcx("veth-b", TcAttachType::Egress))
        .expect("ask for TCX programs");
    names.extend(
        tcx.iter()
            .map(|program| program.name_as_str().unwrap_or("?").to_owned()),
    );
    names
}

fn within_seconds(what: &str, is_so: impl FnMut() -> bool) {
    assert!(soon(is_so), "{what}");
}

struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Programs on veth-b, drained by whoever asks.
fn watch(pair: &Pair) -> Xdp {
    pair.b
        .within(|| Xdp::start(&Settings::on(["veth-b"])).expect("start"))
}

/// The product watching veth-b.
fn agent(namespace: &Namespace) -> KillOnDrop {
    let agent = namespace.within(|| {
        Command::new(env!("CARGO_BIN_EXE_anomaly-detect"))
            .args([
                "live",
                "--iface",
                "veth-b",
                "--capture",
                "xdp",
                "--output",
                "-",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("anomaly-detect")
    });
    KillOnDrop(agent)
}

#[test]
#[ignore = "kernel: needs root"]
fn a_killed_agent_leaves_no_program_behind() {
    let _serial = Serial::take();
    let pair = Pair::new();
    let mut agent = agent(&pair.b);
    within_seconds("both programs are attached", || {
        assert!(matches!(agent.0.try_wait(), Ok(None)), "the agent ended");
        programs_on(&pair.b) == ["xdp", "flow_egress"]
    });
    agent.0.kill().expect("SIGKILL");
    agent.0.wait().expect("the end");
    within_seconds("no program is left", || programs_on(&pair.b).is_empty());
}

#[test]
#[ignore = "kernel: needs root"]
fn a_stop_loses_no_packet() {
    const PACKETS: u64 = 5_000;
    let _serial = Serial::take();
    let pair = Pair::new();
    pair.hush();
    let mut capture = watch(&pair);
    let arrivals = Arrivals::from_now(&pair);
    let port = pair.a.within(|| {
        let socket = UdpSocket::bind("10.77.0.1:0").expect("bind");
        for _ in 0..PACKETS {
            while socket.send_to(b"last words", "10.77.0.2:5000").is_err() {}
        }
        socket.local_addr().expect("address").port()
    });
    arrivals.wait_for(PACKETS);
    // In the middle of an epoch, nothing drained yet.
    capture.stop_handle().stop();
    let counted = Counted::until_stopped(&mut capture);
    assert_eq!(
        counted.sum_of_datagrams(port) + pair.lost_before_hook(),
        PACKETS
    );
    assert_eq!(programs_on(&pair.b), [""; 0]);
}

#[test]
#[ignore = "kernel: needs root"]
fn a_late_drain_is_marked_and_loses_nothing() {
    let _serial = Serial::take();
    let pair = &Pair::new();
    pair.hush();
    let mut capture = watch(pair);
    let (stop, arrivals) = (capture.stop_handle(), Arrivals::from_now(pair));
    let (enough, sent, ended) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let send = |from: u16, over: &AtomicBool| {
        pair.a.within(|| {
            let socket = UdpSocket::bind(("10.77.0.1", from)).expect("bind");
            while !enough.load(Ordering::SeqCst) && !over.load(Ordering::SeqCst) {
                let is_sent = socket.send_to(b"on and on", "10.77.0.2:5000").is_ok();
                sent.fetch_add(u64::from(is_sent), Ordering::SeqCst);
            }
        });
        ended.fetch_add(1, Ordering::SeqCst);
    };
    // Two that send to one queue of veth: it is full now and then, and what is lost there is to be told from what we would lose.
    let senders: [&(dyn Fn(&AtomicBool) + Sync); 2] =
        [&|over| send(7777, over), &|over| send(7778, over)];
    let counted = meanwhile(&senders, || {
        let more_come = || {
            let before = pair.b.counter("veth-b", "rx_packets");
            within_seconds("packets come", || {
                pair.b.counter("veth-b", "rx_packets") > before
            });
        };
        more_come();
        // Nobody drains for five epochs.
        pause(Duration::from_millis(2_700));
        more_come();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _stop = StopOnDrop(stop.clone());
                // Packets come by while overdue epochs are drained.
                pause(Duration::from_millis(1_800));
                enough.store(true, Ordering::SeqCst);
                within_seconds("nobody sends", || ended.load(Ordering::SeqCst) == 2);
                arrivals.wait_for(sent.load(Ordering::SeqCst));
            });
            Counted::until_stopped(&mut capture)
        })
    });
    let sent = sent.into_inner();
    let lost = pair.lost_before_hook();
    println!(
        "{sent} packets, {lost} of them lost by veth before the hook; {} flows marked late",
        counted.late
    );
    assert_eq!(counted.sum_of_datagrams(5000) + lost, sent);
    assert!(counted.late > 0);
    assert_eq!(counted.ledger.overflow(), 0);
}

#[test]
#[ignore = "kernel: needs root"]
fn nobody_elses_program_is_replaced() {
    let _serial = Serial::take();
    let pair = Pair::new();
    let first = watch(&pair);
    let error = pair.b.within(|| {
        Xdp::start(&Settings::on(["veth-b"]))
            .err()
            .expect("occupied")
    });
    assert!(matches!(error, XdpError::Occupied { .. }), "{error}");
    assert!(error.to_string().contains("veth-b"), "{error}");
    assert_eq!(error.exit_code(), 69);
    assert_eq!(programs_on(&pair.b), ["xdp", "flow_egress"]);
    drop(first);
    within_seconds("no program is left", || programs_on(&pair.b).is_empty());
}

#[test]
#[ignore = "kernel: needs root"]
fn where_somebody_else_has_xdp_packets_are_counted_at_tcx() {
    let _serial = Serial::take();
    let pair = Pair::new();
    pair.introduce();
    let first = watch(&pair);
    let settings = Settings {
        instead_tcx: true,
        ..Settings::on(["veth-b"])
    };
    let mut second = pair.b.within(|| Xdp::start(&settings).expect("start"));
    assert!(matches!(
        second.attached()[0].ingress,
        Mode::TcxIngress { .. }
    ));
    let [from, to] = [(&pair.a, "10.77.0.1:7777"), (&pair.b, "10.77.0.2:5000")]
        .map(|(namespace, own)| namespace.within(|| UdpSocket::bind(own).expect("bind")));
    send_and_receive(&from, &to, 100);
    second.stop_handle().stop();
    assert_eq!(
        Counted::until_stopped(&mut second).sum_of_datagrams(7777),
        100
    );
    assert_eq!(second.totals(Hook::Ingress).seen, 0);
    drop(first);
}

/// Sends one datagram after the other: what was received has been through all hooks on its way.
fn send_and_receive(from: &UdpSocket, to: &UdpSocket, datagrams: u64) {
    to.set_read_timeout(Some(Duration::from_secs(60)))
        .expect("timeout");
    for _ in 0..datagrams {
        let address = to.local_addr().expect("address");
        from.send_to(b"hello", address).expect("send");
        assert_eq!(to.recv(&mut [0; 64]).expect("a datagram"), 5);
    }
}

#[test]
#[ignore = "kernel: needs root"]
fn what_a_killed_agent_left_on_clsact_is_taken_away() {
    let _serial = Serial::take();
    let pair = Pair::new();
    let filters = || {
        pair.b
            .exec(&["tc", "filter", "show", "dev", "veth-b", "egress"])
    };
    pair.b.within(|| {
        let mut object = EbpfLoader::new().load(sensor_ebpf::OBJECT).expect("object");
        let program: &mut SchedClassifier = object
            .program_mut(maps::PROGRAM_EGRESS)
            .and_then(|program| program.try_into().ok())
            .expect("program");
        program.load().expect("load");
        tc::qdisc_add_clsact("veth-b").expect("clsact");
        let netlink = TcAttachOptions::Netlink(NlOptions::default());
        program
            .attach_with_options("veth-b", TcAttachType::Egress, netlink)
            .expect("attach");
        // As SIGKILL would have it.
        std::mem::forget(object);
    });
    assert_eq!(
        filters().matches("name flow_egress").count(),
        1,
        "{}",
        filters()
    );
    let settings = Settings {
        clsact: true,
        ..Settings::on(["veth-b"])
    };
    let capture = pair.b.within(|| Xdp::start(&settings).expect("start"));
    assert_eq!(
        filters().matches("name flow_egress").count(),
        1,
        "{}",
        filters()
    );
    assert!(matches!(capture.attached()[0].egress, Mode::Clsact(_)));
    assert_eq!(capture.proofs()[0].egress, Proved::Runs);
    pair.b.within(|| drop(capture));
    assert!(!filters().contains("flow_egress"), "{}", filters());
}

#[test]
#[ignore = "kernel: needs root"]
fn a_packet_on_loopback_is_counted_once() {
    let _serial = Serial::take();
    let namespace = Namespace::new();
    let mut capture = namespace.within(|| Xdp::start(&Settings::on(["lo"])).expect("start"));
    assert_eq!(capture.attached()[0].egress, Mode::Loopback);
    assert_eq!(capture.proofs()[0].ingress, Proved::Runs);
    namespace.within(|| {
        let socket = UdpSocket::bind("127.0.0.1:7777").expect("bind");
        let sink = UdpSocket::bind("127.0.0.1:7778").expect("bind");
        send_and_receive(&socket, &sink, 100);
        assert!(TcpStream::connect("127.0.0.1:7779").is_err());
    });
    capture.stop_handle().stop();
    let mut packets = BTreeMap::<u8, u64>::new();
    for (key, counted) in Counted::until_stopped(&mut capture).per_flow {
        *packets.entry(key.protocol).or_default() += counted;
    }
    // TCP: a SYN and its RST.
    assert_eq!(packets, [(6, 2), (17, 100)].into());
}

#[test]
#[ignore = "kernel: needs root"]
fn what_cannot_be_watched_is_named() {
    let _serial = Serial::take();
    let pair = Pair::new();
    let refused = |interface: &str| {
        pair.b.within(|| {
            Xdp::start(&Settings::on(["veth-b", interface]))
                .err()
                .expect("refused")
        })
    };
    let error = refused("veht-b");
    assert!(matches!(error, XdpError::NoInterface { .. }), "{error}");
    assert!(
        error.to_string().ends_with("nearest first: veth-b, lo"),
        "{error}"
    );
    assert_eq!(error.exit_code(), 69);
    pair.b.ip(&["tuntap", "add", "mode", "tun", "name", "tun0"]);
    let error = refused("tun0");
    assert!(matches!(error, XdpError::NotEthernet { .. }), "{error}");
    assert_eq!(error.exit_code(), 69);
    // Nothing stays attached to the interface that was in order.
    within_seconds("no program is left", || programs_on(&pair.b).is_empty());
}

#[test]
#[ignore = "kernel: needs root"]
fn missing_capabilities_are_named() {
    let _serial = Serial::take();
    let pair = Pair::new();
    let error = pair.b.within(|| {
        // This thread alone loses its capabilities; it ends with this closure.
        // SAFETY: the call reads no memory of ours.
        let dropped = unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) };
        assert_eq!(dropped, 0);
        let error = Xdp::start(&Settings::on(["veth-b"]))
            .err()
            .expect("refused");
        (error.exit_code(), error.to_string())
    });
    assert_eq!(error.0, 77, "{}", error.1);
    assert!(
        error
            .1
            .contains("CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW missing"),
        "{}",
        error.1
    );
}
