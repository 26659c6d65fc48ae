//! Series made here, and a processor that is really busy.

use super::*;

const SECOND_NS: u64 = 1_000_000_000;

/// Numbers that look random and are the same each time, 0 to 1 (SplitMix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) as f64 / u64::MAX as f64
    }
}

/// Feeds a series of one resource, a value a second; answers each thing told with its second.
fn told(resource: Resource, series: impl IntoIterator<Item = f64>) -> Vec<(usize, Spike)> {
    let mut detector = Detector::new(Settings::default());
    let mut all = Vec::new();
    for (second, value) in series.into_iter().enumerate() {
        let mut sample = Sample::default();
        sample.0[resource as usize] = Some(value);
        let spikes = detector.second(second as u64 * SECOND_NS, &sample);
        all.extend(spikes.into_iter().map(|spike| (second, spike)));
    }
    all
}

fn phases(told: &[(usize, Spike)]) -> Vec<(usize, Phase)> {
    told.iter()
        .map(|(second, spike)| (*second, spike.phase))
        .collect()
}

#[test]
fn a_spike_is_told_once_grows_and_ends() {
    let mut noise = Noise(1);
    let series = (0..1000).map(|second| match second {
        500..600 => 0.9 + 0.1 * noise.next(),
        _ => 0.05 + 0.05 * noise.next(),
    });
    let told = told(Resource::Cpu, series);
    assert_eq!(
        phases(&told),
        [(509, Phase::New), (539, Phase::Grown), (629, Phase::Over)]
    );
    let (_, over) = &told[2];
    assert_eq!(
        (over.seconds, over.span_ns),
        (100, [500 * SECOND_NS, 599 * SECOND_NS])
    );
    assert!(
        (0.93..0.97).contains(&over.mean) && over.peak <= 1.0,
        "{over:?}"
    );
    let text = over.sentence();
    assert!(
        text.starts_with("Processors of this box were 95 % busy for 1 min 40 s, at most 100 %; usual here: 5 % to 10 %"),
        "{text}"
    );
    // 42 standard deviations, a hundred seconds: 3.2 and 1.
    assert!((4.0..4.6).contains(&over.evidence()), "{}", over.evidence());
}

#[test]
fn what_is_short_small_or_usual_is_not_told() {
    let mut noise = Noise(2);
    // Bursts of five seconds, a rise of a tenth, and a box that is always busy.
    let bursts = (0..2000).map(|second| if second % 50 < 5 { 0.9 } else { 0.05 });
    assert_eq!(phases(&told(Resource::Cpu, bursts)), []);
    let small = (0..1000).map(|second| if second > 500 { 0.15 } else { 0.05 });
    assert_eq!(phases(&told(Resource::Cpu, small)), []);
    let busy: Vec<f64> = (0..1000).map(|_| 0.3 + 0.7 * noise.next()).collect();
    assert_eq!(phases(&told(Resource::Cpu, busy)), []);
    // Ten times next to nothing is next to nothing.
    let disk = (0..1000).map(|second| if second > 500 { 5e6 } else { 1e4 });
    assert_eq!(phases(&told(Resource::DiskRead, disk)), []);
    // A long tail: half of the seconds at some rate, the others anywhere up to ten times that.
    let tail: Vec<f64> = (0..3000)
        .map(|_| 1e7 * 10_f64.powf(noise.next().powi(3)))
        .collect();
    assert_eq!(phases(&told(Resource::Network, tail)), []);
}

#[test]
fn rates_are_judged_by_their_logarithms() {
    let mut noise = Noise(3);
    let series: Vec<f64> = (0..400)
        .map(|second| {
            if second >= 300 {
                4e8
            } else {
                1e6 * (1.0 + noise.next())
            }
        })
        .collect();
    let told = told(Resource::Network, series);
    assert_eq!(phases(&told)[0], (309, Phase::New));
    let text = told[0].1.sentence();
    assert!(
        text.starts_with("This box moved over the network 400 MB/s for 10 s"),
        "{text}"
    );
}

#[test]
fn flicker_at_the_edge_is_one_spike() {
    let series = (0..1000).map(|second| match second {
        500..800 if second % 7 != 0 => 0.6,
        500..800 => 0.1,
        _ => 0.05,
    });
    let all = phases(&told(Resource::Memory, series));
    let news = all.iter().filter(|(_, phase)| *phase == Phase::New).count();
    assert_eq!(
        (news, all.last().map(|(_, phase)| *phase)),
        (1, Some(Phase::Over)),
        "{all:?}"
    );
}

#[test]
fn what_lasts_longer_than_the_window_is_usual_then() {
    let series = (0..6000).map(|second| if second >= 2000 { 0.8 } else { 0.1 });
    let all = phases(&told(Resource::Memory, series));
    assert_eq!(
        all.last().map(|(_, phase)| *phase),
        Some(Phase::Usual),
        "{all:?}"
    );
    assert_eq!(
        all.iter().filter(|(_, phase)| *phase == Phase::New).count(),
        1
    );
    // And coming down from there is no spike either.
}

#[test]
fn a_spike_does_not_teach() {
    let series = (0..4000).map(|second| {
        if second % 200 < 40 && second > 300 {
            0.9
        } else {
            0.05
        }
    });
    let all = told(Resource::Cpu, series);
    let news: Vec<usize> = all
        .iter()
        .filter(|(_, spike)| spike.phase == Phase::New)
        .map(|(second, _)| *second)
        .collect();
    assert_eq!(news.len(), 18, "each of them: {news:?}");
}

#[test]
fn other_settings_are_taken_and_the_past_stays() {
    let mut detector = Detector::new(Settings::default());
    let mut quiet = Sample::default();
    quiet.0[Resource::Cpu as usize] = Some(0.1);
    for second in 0..200 {
        detector.second(second, &quiet);
    }
    let before = detector.threshold(Resource::Cpu).expect("known by now");
    detector.adjust(Settings {
        least_share: 0.6,
        window: 100,
        ..Settings::default()
    });
    detector.second(200, &quiet);
    let after = detector.threshold(Resource::Cpu).expect("still known");
    assert!(before < 0.5 && after >= 0.7, "{before} {after}");
}

#[test]
fn nothing_known_is_nothing_told() {
    let mut detector = Detector::new(Settings::default());
    for second in 0..100 {
        assert!(detector.second(second, &Sample::default()).is_empty());
    }
    assert_eq!(detector.threshold(Resource::Cpu), None);
}

/// A thread that computes is seen in the counters of this machine, and so is who does it. How much of a processor it gets is
/// the machine's affair: what is compared is what the thread itself used.
#[cfg(target_os = "linux")]
#[test]
fn a_burner_is_seen() {
    use std::{
        path::Path,
        process::{Command, Stdio},
        sync::mpsc::channel,
        time::{Duration, Instant},
    };
    let root = Path::new("/");
    let Ok(mut burner) = Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .stdin(Stdio::null())
        .spawn()
    else {
        eprintln!("not run: no sh");
        return;
    };
    let pid = burner.id();
    let begun = Instant::now();
    let (_keep, never) = channel::<()>();
    // A look in which the burner got next to nothing tells nothing; that there are always three others that did is told.
    let (all, sample) = loop {
        // The counters around the processes, so that what a process used is within what all used, however long it took to
        // read them.
        let (before, processes, at) = (read(root), busy::Processes::read(root), Instant::now());
        let _ = never.recv_timeout(Duration::from_millis(700));
        let seconds = at.elapsed().as_secs_f64();
        let (later, after) = (busy::Processes::read(root), read(root));
        let all = later.since(&processes, Resource::Cpu, after.ticks_since(&before));
        let sample = after.since(&before, seconds);
        let is_seen = all.iter().any(|busy| busy.pid == pid)
            && sample.of(Resource::Cpu).is_none_or(|busy| busy > 0.02);
        if is_seen || begun.elapsed() > Duration::from_secs(60) {
            break (all, sample);
        }
    };
    burner.kill().expect("our own child");
    burner.wait().expect("our own child");
    let busy = sample.of(Resource::Cpu).expect("a Linux has /proc/stat");
    assert!(busy > 0.02, "{busy}");
    assert!((0.0..=1.0).contains(&sample.of(Resource::Memory).expect("and meminfo")));
    // Where other processes get all of the machine it may be none of the three.
    if let Some(found) = all.iter().find(|busy| busy.pid == pid) {
        assert!(found.share <= busy + 0.1, "{found} of {busy}");
        assert!(found.to_string().contains(&format!("process {pid}")));
    } else {
        assert_eq!(all.len(), 3, "not among {all:?}");
    }
}
