use sensor_ebpf::{bounds::Cursor, frame::parse_ip};

use super::*;

fn udp(host: u32) -> Parsed {
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1];
    packet.extend(host.to_be_bytes());
    packet.extend([0, 1, 0, 2, 0, 8, 0, 0]);
    parse_ip(Cursor::from_slice(&packet), 0)
}

#[test]
fn a_small_epoch_after_a_large_one_starts_clean() {
    let mut accountant = Accountant::new(1 << 20);
    let mut epoch = Epoch::default();
    for flows in [50_000u32, 100, 1, 3_000] {
        for _ in 0..2 {
            for host in 0..flows {
                accountant.count(udp(host), 7);
            }
        }
        assert!(accountant.finish(&mut epoch));
        assert_eq!(epoch.flows.len(), flows as usize);
        assert!(
            epoch
                .flows
                .iter()
                .all(|(_, counters)| counters.packets() == 2)
        );
        assert_eq!(epoch.ledger.unaccounted(), 0);
    }
    assert!(!accountant.finish(&mut epoch));
}

#[test]
fn flows_beyond_the_bound_overflow_and_are_counted() {
    let mut accountant = Accountant::new(10);
    let mut epoch = Epoch::default();
    for host in 0..25 {
        accountant.count(udp(host), 7);
    }
    assert!(accountant.finish(&mut epoch));
    assert_eq!(
        (
            epoch.flows.len(),
            epoch.ledger.overflow_full,
            epoch.ledger.overflow_bytes
        ),
        (10, 15, 15 * 28)
    );
    assert_eq!(epoch.ledger.unaccounted(), 0);
}
