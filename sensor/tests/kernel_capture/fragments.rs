//! Fragments on a tap, followed.

use std::thread;

use sensor::capture::{
    replay::{self, Replay},
    xsk::{self, Losses},
};

use crate::{
    af_xdp::{talk_to_nobody, tap},
    netns::{Offload, Pair, Serial},
    recorded,
};

/// Datagrams of 4,000 bytes to nobody, three fragments each, on a tap that follows them: the flows are those of the recording made on the
/// other side, replayed with the same option, and no fragment is a flow of its own.
#[test]
#[ignore = "kernel: needs root"]
fn fragments_on_a_tap_are_followed_as_in_a_replay_of_the_same_packets() {
    let _serial = Serial::take();
    let pair = Pair::new();
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("other-side.pcap");
    for which in [Offload::Tso, Offload::Gso] {
        pair.a.offload("veth-a", which, false);
    }
    let sockets = xsk::Settings {
        follow_fragments: true,
        ..xsk::Settings::default()
    };
    let mut capture = tap(&pair, Some(&sockets));
    let stop = capture.stop_handle();
    let live = thread::scope(|scope| {
        let live = scope.spawn(|| recorded::epochs(&mut capture));
        let recorder = recorded::Recorder::start(&pair.a, "veth-a", &path);
        talk_to_nobody(&pair);
        recorder.finish();
        stop.stop();
        live.join().expect("taker")
    });
    assert_eq!(capture.losses(), Losses::default());
    // Two later ones of each of forty datagrams, over both families.
    let followed: u64 = live.iter().map(|epoch| epoch.fragments.followed).sum();
    let later: u64 = live.iter().map(|epoch| epoch.fragments.later()).sum();
    assert_eq!((followed, later), (160, 160));
    let settings = replay::Settings {
        follow_fragments: true,
        ..replay::Settings::default()
    };
    let mut replay = Replay::open(&[path], settings).expect("the recording");
    let replayed = recorded::epochs(&mut replay);
    let until = live.last().expect("an epoch").index;
    let (live, replayed) = (
        recorded::records(&live, until),
        recorded::records(&replayed, until),
    );
    assert_eq!(live.len(), replayed.len());
    for (live, replayed) in live.iter().zip(&replayed) {
        assert_eq!(live.key, replayed.key);
        assert!(live.key.is_whole());
        assert_eq!(live.counters.packets(), replayed.counters.packets());
    }
}
