use rusqlite::Connection;
use sensor_ebpf::flow::{FlowCounters, FlowKey, Half};

use super::*;
use crate::{
    flow::{FlowEndReason, key_address},
    score::Kind,
};

const BEGIN_NS: u64 = 1_767_600_000 * SECOND_NS;

/// The `n`th of many flows, no two alike.
fn flow(n: u64) -> (FlowRecord, Row, Judgement<'static>) {
    let address = |a: u64, b: u64| key_address([10, a as u8, (b >> 8) as u8, b as u8].into());
    let key = FlowKey {
        addresses: [address(0, n % 7), address(1, n)],
        ports: [40_000, [53, 443, 22][n as usize % 3]],
        protocol: [17, 6, 6][n as usize % 3],
        form: 0,
        series: 0,
    };
    let first = BEGIN_NS + n * 97 * SECOND_NS;
    let half = |packets| Half {
        packets,
        ip_bytes: 100 * packets + n,
        first,
        last: first + (n % 50) * 3 * SECOND_NS,
        ..Half::EMPTY
    };
    let counters = FlowCounters {
        halves: [half(3 + n % 5), half(n % 4)],
        ..FlowCounters::EMPTY
    };
    let record = FlowRecord {
        id: n.wrapping_mul(0x1234_5678_9abc_def1),
        key,
        originator: 0,
        counters,
        end: Some(FlowEndReason::EndOfFlow),
        checkpoint: 0,
        due: first,
    };
    let anomalous = n.is_multiple_of(11);
    let judged = Judgement {
        score: (n % 100) as f32 / 100.0,
        p_value: if anomalous { 1e-4 } else { 0.5 },
        severity: if anomalous {
            Severity::High
        } else {
            Severity::Info
        },
        anomalous,
        kind: anomalous.then_some(Kind::PortScanVertical),
        reasons: &[],
    };
    (record, [n as f32; crate::features::COUNT], judged)
}

fn store() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

fn take(rollup: &mut Rollup, n: u64) {
    let (record, row, judged) = flow(n);
    rollup.absorb(&record, &row, Some(&judged));
}

/// Everything in the tables, as text.
fn dump(connection: &Connection) -> Vec<String> {
    let mut all = Vec::new();
    for table in [
        "rollup_slots",
        "rollup_mix",
        "rollup_pairs",
        "rollup_scores",
        "rollup_sample",
    ] {
        let mut query = connection
            .prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3"))
            .unwrap();
        let columns = query.column_count();
        let mut rows = query.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells: Vec<_> = (0..columns)
                .map(|at| match row.get_ref(at).unwrap() {
                    rusqlite::types::ValueRef::Real(value) => format!("{value:.6}"),
                    other => format!("{other:?}"),
                })
                .collect();
            all.push(format!("{table} {}", cells.join(" ")));
        }
    }
    all
}

fn sums(connection: &Connection, table: &str, filter: &str) -> (i64, i64, i64, i64, i64) {
    connection
        .query_row(
            &format!("SELECT sum(flows), sum(anomalous), sum(packets), sum(sent), sum(received) FROM {table} {filter}"),
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        )
        .unwrap()
}

fn expected(numbers: std::ops::Range<u64>) -> (i64, i64, i64, i64, i64) {
    let mut all = (0, 0, 0, 0, 0);
    for (record, _, judged) in numbers.map(flow) {
        all.0 += 1;
        all.1 += i64::from(judged.anomalous);
        all.2 += record.counters.packets() as i64;
        all.3 += record.orig().ip_bytes as i64;
        all.4 += record.resp().ip_bytes as i64;
    }
    all
}

#[test]
fn every_table_adds_up_to_the_flows_however_often_it_is_flushed() {
    let (at_once, in_parts) = (store(), store());
    let (mut one, mut many) = (Rollup::new(), Rollup::new());
    for n in 0..5000 {
        take(&mut one, n);
        // The other way round: order does not matter either.
        take(&mut many, 4999 - n);
        if n % 777 == 0 {
            many.flush(&in_parts).unwrap();
        }
    }
    one.flush(&at_once).unwrap();
    many.flush(&in_parts).unwrap();
    let expected = expected(0..5000);
    assert_eq!(sums(&at_once, "rollup_slots", ""), expected);
    assert_eq!(sums(&at_once, "rollup_pairs", ""), expected);
    for what in [What::Protocol, What::Service, What::State] {
        let filter = format!("WHERE what = {}", what as u8);
        assert_eq!(sums(&at_once, "rollup_mix", &filter), expected, "{what:?}");
    }
    assert_eq!(dump(&at_once), dump(&in_parts));
}

#[test]
fn what_finds_no_place_is_summed_and_what_is_old_grows_coarse() {
    let connection = store();
    let mut rollup = Rollup::new();
    // All of one hour, each with a partner of its own: far more pairs than an hour keeps.
    for n in 0..4000 {
        let (mut record, row, judged) = flow(n);
        for half in &mut record.counters.halves {
            half.first = BEGIN_NS;
            half.last = BEGIN_NS;
        }
        rollup.absorb(&record, &row, Some(&judged));
    }
    rollup.flush(&connection).unwrap();
    let expected = expected(0..4000);
    assert_eq!(sums(&connection, "rollup_pairs", ""), expected);
    let pairs: i64 = connection
        .query_row("SELECT count(*) FROM rollup_pairs", [], |row| row.get(0))
        .unwrap();
    assert!(
        (501..=1001).contains(&pairs),
        "{pairs}: the largest, the oddest, and the others"
    );
    // Those that matter stay under their names: of 364 anomalous flows none is among the others.
    let others = sums(&connection, "rollup_pairs", "WHERE src = ''");
    assert_eq!(others.1, 0);
    let before: i64 = connection
        .query_row("SELECT count(*) FROM rollup_slots", [], |row| row.get(0))
        .unwrap();
    let year = 365 * DAY_SECONDS * SECOND_NS;
    for kept in [0, BEGIN_NS + year] {
        let kept = Kept {
            now_ns: BEGIN_NS + year,
            oldest_ns: kept,
        };
        expire(&connection, kept).unwrap();
        let now = |table| {
            connection
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                    row.get::<_, i64>(0)
                })
                .unwrap()
        };
        if kept.oldest_ns == 0 {
            assert_eq!(sums(&connection, "rollup_pairs", ""), expected);
            assert_eq!(sums(&connection, "rollup_slots", ""), expected);
            assert!(now("rollup_slots") <= before);
        } else {
            for table in [
                "rollup_slots",
                "rollup_mix",
                "rollup_pairs",
                "rollup_scores",
                "rollup_sample",
            ] {
                assert_eq!(now(table), 0, "{table}");
            }
        }
    }
}

/// A scan of a thousand ports pushes neither the web out of the services, nor services out of the protocols.
#[test]
fn a_scan_does_not_hide_what_traffic_is_made_of() {
    let connection = store();
    let mut rollup = Rollup::new();
    for n in 0..3000 {
        let (mut record, row, mut judged) = flow(n * 11);
        for half in &mut record.counters.halves {
            half.first = BEGIN_NS;
            half.last = BEGIN_NS;
        }
        record.key.protocol = 6;
        let scans = n < 1000;
        judged.anomalous = scans;
        record.key.ports[1] = if scans { 1000 + n as u16 } else { 443 };
        rollup.absorb(&record, &row, Some(&judged));
    }
    rollup.flush(&connection).unwrap();
    let of = |name: &str| -> i64 {
        connection
            .query_row(
                "SELECT sum(flows) FROM rollup_mix WHERE name = ?1",
                [name],
                |row| row.get(0),
            )
            .unwrap()
    };
    assert_eq!(of("tcp"), 3000);
    // As a service, and as what a flow of an incident aimed at.
    assert_eq!(of("tcp/443"), 4000);
    let all = sums(&connection, "rollup_mix", "WHERE what = 1");
    assert_eq!(all.0, 3000);
}

#[test]
fn a_flood_of_pairs_is_bounded_between_flushes() {
    let mut rollup = Rollup::new();
    for n in 0..3 * ENTRIES as u64 {
        let (mut record, row, judged) = flow(n);
        record.key.addresses[1] =
            key_address(std::net::Ipv6Addr::from_bits(u128::from(n) + 1).into());
        for half in &mut record.counters.halves {
            half.last = BEGIN_NS;
            half.first = BEGIN_NS;
        }
        rollup.absorb(&record, &row, Some(&judged));
    }
    assert!(rollup.pairs.len() <= ENTRIES + 1);
    let flows: u64 = rollup.pairs.values().map(|sums| sums.flows).sum();
    assert_eq!(flows, 3 * ENTRIES as u64);
}
