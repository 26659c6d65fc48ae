//! Fragments on a tap, followed.

use sensor::capture::{replay, xsk};

use crate::{af_xdp::beside_nobody, beside::undisturbed, netns::Serial};

/// Datagrams of 4,000 bytes to nobody, three fragments each, on a tap that follows them: the flows are those of the recording made on the
/// other side, replayed with the same option, and no fragment is a flow of its own.
#[test]
#[ignore = "kernel: needs root"]
fn fragments_on_a_tap_are_followed_as_in_a_replay_of_the_same_packets() {
    let _serial = Serial::take();
    undisturbed(fragments_beside_recording);
}

fn fragments_beside_recording() -> Result<(), String> {
    let sockets = xsk::Settings {
        follow_fragments: true,
        ..xsk::Settings::default()
    };
    let beside = beside_nobody(&sockets)?;
    // Two later ones of each of forty datagrams, over both families.
    let fragments = || beside.live.iter().map(|epoch| &epoch.fragments);
    let followed: u64 = fragments().map(|fragments| fragments.followed).sum();
    let later: u64 = fragments().map(|fragments| fragments.later()).sum();
    assert_eq!((followed, later), (160, 160));
    let settings = replay::Settings {
        follow_fragments: true,
        ..replay::Settings::default()
    };
    let [live, replayed] = beside.records(&beside.replayed(settings));
    assert_eq!(live.len(), replayed.len());
    for (live, replayed) in live.iter().zip(&replayed) {
        assert_eq!(live.key, replayed.key);
        assert!(live.key.is_whole());
        assert_eq!(live.counters.packets(), replayed.counters.packets());
    }
    Ok(())
}
