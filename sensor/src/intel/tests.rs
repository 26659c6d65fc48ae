//! Compiled lists against a linear matcher, whole files of each form, hostile ones, and lists that change under way.

mod million;

use std::{fs, net::IpAddr, path::Path};

use proptest::prelude::*;

use super::{harvest::Place, *};

const NOW: u64 = 1_800_000_000_000_000_000;

fn laboratory() -> Limits {
    Limits {
        space: Space::new(Vec::new(), true),
        ..Limits::default()
    }
}

fn harvest(entries: &[(Prefix, u8)]) -> Harvest {
    let mut harvest = Harvest::new(usize::MAX, &Space::new(Vec::new(), true));
    for (at, (prefix, confidence)) in entries.iter().enumerate() {
        let label = format!("{prefix}");
        harvest.take(
            Ok(vec![Indicator::Prefixes(vec![*prefix])]),
            (Place::Line(at as u64), ""),
            (&label, ""),
            Some(*confidence),
        );
    }
    harvest.settle();
    harvest
}

/// Prefixes that nest, repeat and touch: few different leading bits, all lengths.
fn prefixes(most: usize) -> impl Strategy<Value = Vec<Prefix>> {
    let v4 = (0_u32..4, any::<u32>(), 8_u8..=32).prop_map(|(high, low, length)| {
        let address = (20 + high) << 24 | low & 0x0003_0303;
        Prefix::new(IpAddr::V4(address.into()), length).expect("a length of IPv4")
    });
    let v6 = (0_u128..3, any::<u128>(), 16_u8..=128).prop_map(|(high, low, length)| {
        let address = (0x2600 + high) << 112 | low & (3 << 80 | 3 << 62 | 0x303);
        Prefix::new(IpAddr::V6(address.into()), length).expect("a length of IPv6")
    });
    prop::collection::vec(prop_oneof![v4, v6], 0..most)
}

/// An address near an end of a prefix.
fn near(prefix: Prefix) -> [IpAddr; 4] {
    let show = |number: u128| IpAddr::V6(number.into()).to_canonical();
    [
        show(prefix.first()),
        show(prefix.last()),
        show(prefix.first().wrapping_sub(1)),
        show(prefix.last().wrapping_add(1)),
    ]
}

proptest! {
    /// The same entries in the same order as by looking at each, also with allowed space cut out, at the ends of every prefix.
    #[test]
    fn matches_what_a_linear_matcher_matches(
        one in prefixes(40), two in prefixes(40), allow in prefixes(6),
    ) {
        let pair = |list: &[Prefix]| harvest(&list.iter().map(|prefix| (*prefix, 50)).collect::<Vec<_>>());
        let lists = Lists::new(
            vec![("one".to_owned(), "plain", pair(&one)), ("two".to_owned(), "plain", pair(&two))],
            &[pair(&allow)],
        );
        let linear = |address: IpAddr| -> Vec<(Prefix, &str)> {
            if allow.iter().any(|prefix| prefix.contains(address)) {
                return Vec::new();
            }
            let of = |list: &[Prefix], name: &'static str| {
                list.iter().filter(|prefix| prefix.contains(address)).map(|prefix| (*prefix, name)).collect::<Vec<_>>()
            };
            let mut all = of(&one, "one");
            all.extend(of(&two, "two"));
            all.sort_by_key(|(prefix, name)| (std::cmp::Reverse(prefix.length()), *name));
            all.dedup();
            all.truncate(MATCHES_MAX);
            all
        };
        for prefix in one.iter().chain(&two).chain(&allow) {
            for address in near(*prefix) {
                let found: Vec<_> = lists.of_address(address).filter_map(|at| lists.entry(at)).collect();
                prop_assert_eq!(&found, &linear(address), "{}", address);
                prop_assert_eq!(
                    lists.allowed(address).is_some(),
                    allow.iter().any(|prefix| prefix.contains(address)),
                );
            }
        }
    }

    /// No bytes, in no form, do more than be counted or refused.
    #[test]
    fn hostile_files_are_data(bytes in prop::collection::vec(any::<u8>(), 0..400), form in 0_usize..4) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join(["a.txt", "a.csv", "a.json", "a"][form]);
        fs::write(&path, bytes).expect("file");
        if let Ok((harvest, _)) = read(&path, &laboratory(), NOW) {
            Lists::new(vec![("a".to_owned(), "plain", harvest)], &[]);
        }
    }
}

fn file(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("file");
    path
}

fn compiled(path: &Path) -> Lists {
    let (harvest, form) = read(path, &laboratory(), NOW).expect("a list");
    Lists::new(vec![("list".to_owned(), form, harvest)], &[])
}

#[test]
fn a_stix_bundle() {
    let folder = tempfile::tempdir().expect("folder");
    let path = file(
        folder.path(),
        "bundle.json",
        r#"{"type":"bundle","id":"bundle--1","objects":[
        {"type":"indicator","pattern":"[ipv4-addr:value = '192.0.2.1' OR domain-name:value = 'evil.example']","pattern_type":"stix",
         "name":"Somebody's server","confidence":85,"created_by_ref":"identity--7"},
        {"type":"indicator","pattern":"[ipv4-addr:value = '192.0.2.2']","pattern_type":"stix","valid_until":"2020-01-01T00:00:00Z"},
        {"type":"indicator","pattern":"[ipv4-addr:value = '192.0.2.3']","revoked":true},
        {"type":"indicator","pattern":"[ipv4-addr:value = '192.0.2.4' AND ipv4-addr:value = '192.0.2.5']","confidence":"high"},
        {"type":"indicator","pattern":"rule x {}","pattern_type":"yara","name":{"deep":[[[]]]}},
        {"type":"ipv4-addr","value":"192.0.2.6"}, 17, null,
        {"type":"identity","id":"identity--7","name":"A team"}]}"#,
    );
    let lists = compiled(&path);
    let found = lists.of_text("192.0.2.1");
    assert_eq!(
        found,
        [Match {
            subject: "192.0.2.1".to_owned(),
            list: "list".to_owned(),
            entry: "192.0.2.1".to_owned(),
            label: "Somebody's server".to_owned(),
            source: "A team".to_owned(),
            confidence: Some(85),
        }]
    );
    assert_eq!(lists.of_domain("WWW.evil.example.").len(), 1);
    assert_eq!(lists.entries(), 2);
    let losses = lists.lists()[0].losses;
    for loss in [Loss::Expired, Loss::Revoked, Loss::Pattern, Loss::OtherKind] {
        assert_eq!(losses.of(loss), 1, "{losses}");
    }
    for last in 2..=6 {
        assert_eq!(lists.of_text(&format!("192.0.2.{last}")), []);
    }
}

#[test]
fn misp_events_and_a_feed_of_them() {
    let folder = tempfile::tempdir().expect("folder");
    // As a feed orders its keys: what the event is about comes last.
    let event = r#"{"Event":{"Attribute":[
        {"type":"ip-dst|port","value":"192.0.2.1|443","to_ids":true,"comment":"first stage"},
        {"type":"domain|ip","value":"evil.example|192.0.2.2","to_ids":true,"comment":""},
        {"type":"ip-src","value":"192.0.2.3","to_ids":false},
        {"type":"sha256","value":"00","to_ids":true},
        {"type":"ip-dst","value":"192.0.2.4","to_ids":true,"deleted":true}],
        "Object":[{"name":"x","Attribute":[{"type":"ja3-fingerprint-md5","value":"d41d8cd98f00b204e9800998ecf8427e","to_ids":true}]}],
        "Orgc":{"name":"CIRCLE"},"info":"A campaign"}}"#;
    file(
        folder.path(),
        "manifest.json",
        r#"{"x":{"info":"not an event"}}"#,
    );
    file(folder.path(), "5a.json", event);
    file(
        folder.path(),
        "5b.json",
        format!(r#"{{"response":[{event}]}}"#).replace("192.0.2.1|", "192.0.2.9|"),
    );
    let lists = compiled(folder.path());
    let told = |text: &str| -> Vec<String> {
        let one = |found: &Match| format!("{} / {} / {}", found.entry, found.label, found.source);
        lists.of_text(text).iter().map(one).collect()
    };
    assert_eq!(told("192.0.2.1"), ["192.0.2.1 / first stage / CIRCLE"]);
    assert_eq!(told("192.0.2.9"), ["192.0.2.9 / first stage / CIRCLE"]);
    assert_eq!(told("192.0.2.2"), ["192.0.2.2 / A campaign / CIRCLE"]);
    assert_eq!(
        told("a.evil.example"),
        ["evil.example / A campaign / CIRCLE"]
    );
    assert_eq!(told("ja3:d41d8cd98f00b204e9800998ecf8427e").len(), 1);
    let list = &lists.lists()[0];
    assert_eq!(
        (list.form, list.prefixes, list.domains, list.fingerprints),
        ("MISP", 3, 1, 1)
    );
    assert_eq!(list.losses.of(Loss::NotForDetection), 2);
    assert_eq!(list.losses.of(Loss::Revoked), 2);
    // The address, the domain and the fingerprint that both events name.
    assert_eq!(list.losses.of(Loss::Duplicate), 3);
}

#[test]
fn reserved_space_is_refused_and_counted() {
    let folder = tempfile::tempdir().expect("folder");
    let path = file(
        folder.path(),
        "feed.txt",
        "10.0.0.0/8\n0.0.0.0/0\n9.9.9.9\n9.9.8.8\n1.2.3.4\n",
    );
    let own = Prefix::parse("9.9.9.0/24").expect("prefix");
    let limits = Limits {
        space: Space::new(vec![own], false),
        ..Limits::default()
    };
    let (harvest, _) = read(&path, &limits, NOW).expect("a list");
    assert_eq!(harvest.entries(), 2);
    assert_eq!(harvest.losses.of(Loss::Reserved), 1, "{}", harvest.losses);
    assert_eq!(harvest.losses.of(Loss::Own), 2, "{}", harvest.losses);
    assert_eq!(harvest.quoted[0], "line 1: 10.0.0.0/8 (reserved)");
}

#[test]
fn what_is_allowed_beats_what_is_listed() {
    let prefix = |text: &str| (Prefix::parse(text).expect(text), 50);
    let lists = Lists::new(
        vec![(
            "bad".to_owned(),
            "plain",
            harvest(&[
                prefix("20.0.0.0/8"),
                prefix("20.1.1.1"),
                prefix("20.2.0.0/16"),
            ]),
        )],
        &[harvest(&[prefix("20.1.0.0/16")])],
    );
    assert_eq!(lists.of_text("20.1.1.1"), []);
    assert_eq!(lists.of_text("20.2.1.1").len(), 2);
    assert_eq!(lists.of_text("20.0.255.255").len(), 1);
    assert_eq!(lists.lists()[0].allowed, 1);
}

#[test]
fn bad_lists_are_refused_whole() {
    let folder = tempfile::tempdir().expect("folder");
    let small = Limits {
        bytes: 1000,
        ..laboratory()
    };
    let refused = |name: &str, content: &[u8], part: &str| {
        let path = file(folder.path(), name, content);
        let error = read(&path, &small, NOW).expect_err(name).to_string();
        assert!(
            error.contains(part) && !error.contains('\n'),
            "{name}: {error}"
        );
    };
    refused(
        "huge.txt",
        "192.0.2.1\n".repeat(101).as_bytes(),
        "longer than",
    );
    refused(
        "page.txt",
        b"<html>\n<h1>502 Bad Gateway</h1>\n</html>\n",
        "no list: 3 of 3",
    );
    refused("deep.json", "[".repeat(900).as_bytes(), "recursion limit");
    refused(
        "deep2.json",
        format!("{{\"objects\":[{}", "{\"a\":".repeat(150)).as_bytes(),
        "recursion limit",
    );
    refused("cut.json", br#"{"objects":[{"type":"indicator""#, "EOF");
    refused(
        "other.json",
        br#"{"hello":1}"#,
        "neither a STIX bundle nor a MISP event",
    );
    refused("trailing.json", br#"{"objects":[]} x"#, "trailing");
    refused("binary.txt", &[0xff; 300], "no list");
    // Ten kilobytes of zeros behind forty bytes: what counts is what comes out.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut bomb, &vec![b'1'; 100_000]).expect("memory");
    refused(
        "bomb.txt.gz",
        &bomb.finish().expect("memory"),
        "longer than",
    );
    assert!(
        read(&folder.path().join("absent"), &small, NOW)
            .expect_err("absent")
            .is_missing()
    );
}

#[test]
fn lists_that_change_and_lists_that_go_bad() {
    let folder = tempfile::tempdir().expect("folder");
    let (path, other) = (
        folder.path().join("feed.txt"),
        folder.path().join("other.txt"),
    );
    file(folder.path(), "feed.txt", "20.0.0.1 # first\n");
    file(folder.path(), "other.txt", "20.0.0.2\n");
    let (keeper, events) = Keeper::open(&[path, other], &[], laboratory(), NOW);
    assert_eq!(events.len(), 2, "{events:?}");
    let label = |text: &str| {
        keeper
            .current()
            .of_text(text)
            .first()
            .map(|found| found.label.clone())
    };
    assert_eq!(label("20.0.0.1").as_deref(), Some("first"));
    assert!(keeper.look(NOW, false).is_empty(), "nothing changed");

    // A change is taken when two looks found the same.
    file(folder.path(), "feed.txt", "20.0.0.1 # second\n20.0.0.3\n");
    assert!(keeper.look(NOW, false).is_empty(), "not at rest yet");
    assert!(matches!(
        &keeper.look(NOW, false)[..],
        [Event::Read { entries: 2, .. }]
    ));
    assert_eq!(label("20.0.0.1").as_deref(), Some("second"));

    for bad in ["<html>no</html>\n", "", "{"] {
        file(folder.path(), "feed.txt", bad);
        let events = keeper.look(NOW, true);
        let kept = |event: &Event| matches!(event, Event::Refused { kept: true, .. });
        assert!(events.iter().any(kept), "{bad}: {events:?}");
        assert_eq!(label("20.0.0.1").as_deref(), Some("second"), "{bad}");
        assert_eq!(label("20.0.0.2").as_deref(), Some(""), "{bad}");
    }
    fs::remove_file(folder.path().join("feed.txt")).expect("file");
    keeper.look(NOW, true);
    assert_eq!(label("20.0.0.3").as_deref(), Some(""));
    file(folder.path(), "feed.txt", "20.0.0.4\n");
    keeper.look(NOW, true);
    assert_eq!(
        (label("20.0.0.1"), label("20.0.0.4").is_some()),
        (None, true)
    );
}

#[test]
fn entries_are_bounded_over_all_lists() {
    let folder = tempfile::tempdir().expect("folder");
    let text: String = (0..200).map(|last| format!("20.0.0.{last}\n")).collect();
    let paths = [
        file(folder.path(), "a.txt", &text),
        file(folder.path(), "b.txt", &text),
    ];
    let limits = Limits {
        entries: 300,
        ..laboratory()
    };
    let (keeper, _) = Keeper::open(&paths, &[], limits, NOW);
    let lists = keeper.current();
    assert_eq!(lists.entries(), 300);
    assert_eq!(lists.lists()[1].losses.of(Loss::Room), 100);
}
