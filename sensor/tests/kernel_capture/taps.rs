//! A tap: what arrives is counted and goes no further.

use std::{io::ErrorKind, net::UdpSocket, time::Duration};

use sensor::capture::xdp::{Mode, Settings, Xdp};

use crate::{
    arrivals::Arrivals,
    counted::Counted,
    netns::{Pair, Serial},
};

#[test]
#[ignore = "kernel: needs root"]
fn a_tap_counts_every_packet_and_hands_none_to_the_stack() {
    const PACKETS: u64 = 100;
    let _serial = Serial::take();
    let pair = Pair::new();
    pair.hush();
    let listener = pair
        .b
        .within(|| UdpSocket::bind("10.77.0.2:5000").expect("bind"));
    let waits = |time| listener.set_read_timeout(Some(time)).expect("timeout");
    let settings = Settings {
        taps: vec!["veth-b".to_owned()],
        ..Settings::on(["veth-b"])
    };
    let mut capture = pair.b.within(|| Xdp::start(&settings).expect("start"));
    assert_eq!(capture.attached()[0].egress, Mode::Tap);
    let arrivals = Arrivals::from_now(&pair);
    pair.a.within(|| {
        let socket = UdpSocket::bind("10.77.0.1:0").expect("bind");
        for _ in 0..PACKETS {
            socket
                .send_to(b"for the mirror", "10.77.0.2:5000")
                .expect("sent");
        }
    });
    arrivals.wait_for(PACKETS);
    waits(Duration::from_millis(300));
    let heard = listener
        .recv(&mut [0; 64])
        .expect_err("nothing reaches the stack");
    assert!(matches!(
        heard.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    capture.stop_handle().stop();
    let counted = Counted::until_stopped(&mut capture);
    assert_eq!(counted.sum_of_datagrams(5000), PACKETS);
    drop(capture);
    // Without the program the same packet arrives.
    pair.a.within(|| {
        let socket = UdpSocket::bind("10.77.0.1:0").expect("bind");
        socket
            .send_to(b"for the host", "10.77.0.2:5000")
            .expect("sent");
    });
    waits(Duration::from_secs(60));
    listener.recv(&mut [0; 64]).expect("it arrives");
}
