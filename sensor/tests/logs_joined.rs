//! Captures and host logs of the same minutes, joined: what is found of fifteen attack simulations on a small domain.
//!
//! What is true of each scenario is written down here from its description: the addresses of the attacker (its
//! listener, or the host it acted from) and the programs, pipes and files it used. An incident is a hit if it is about such an
//! address or names such a thing. *Strict* hits name the listener or the thing; *host* hits the host that the attacker acted from.
//!
//! The rules were written with the logs of the ten scenarios marked `chosen` in sight; those of the other five were not looked
//! at before, and confirm.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use sensor::{
    logs::Findings,
    pipeline::{self, HostLogs},
    sink::told::{self, Told},
};

/// Truth of one scenario.
struct Scenario {
    /// Beginning of the folder's name.
    folder: &'static str,
    /// Rules were chosen with it.
    chosen: bool,
    /// Listener, from outside.
    listener: &'static str,
    /// Where the attacker acted from.
    actor: &'static str,
    /// What it used there.
    programs: &'static [&'static str],
}

const fn scenario(
    folder: &'static str,
    chosen: bool,
    listener: &'static str,
    actor: &'static str,
    programs: &'static [&'static str],
) -> Scenario {
    Scenario {
        folder,
        chosen,
        listener,
        actor,
        programs,
    }
}

const C2: &str = "10.10.10.5";
const PC5: &str = "172.18.39.5";
const PC6: &str = "172.18.39.6";

const SCENARIOS: [Scenario; 15] = [
    scenario("SDWIN-190301125905", true, C2, PC5, &["powershell.exe"]),
    scenario("SDWIN-190301174830", true, C2, PC5, &["powershell.exe"]),
    scenario("SDWIN-190319145126", true, C2, PC6, &["rubeus.exe"]),
    scenario(
        "SDWIN-190403133337",
        true,
        C2,
        PC5,
        &["sc.exe", "c$\\windows\\system32"],
    ),
    scenario(
        "SDWIN-190518210125",
        true,
        C2,
        PC5,
        &["powershell.exe", "svcctl"],
    ),
    scenario(
        "SDWIN-190518210652",
        false,
        C2,
        PC5,
        &["powershell.exe", "svcctl"],
    ),
    scenario(
        "SDWIN-190518211456",
        false,
        C2,
        PC5,
        &["powershell.exe", "wsmprovhost"],
    ),
    scenario(
        "SDWIN-190518213907",
        false,
        C2,
        PC5,
        &["powershell.exe", "msbuild.exe"],
    ),
    scenario(
        "SDWIN-190519005224",
        false,
        C2,
        PC5,
        &["powershell.exe", "srvsvc"],
    ),
    scenario("SDWIN-200805034820", false, C2, PC5, &["sc.exe", "svcctl"]),
    scenario("SDWIN-200806022635", true, C2, PC5, &["grunt", "svcctl"]),
    scenario(
        "SDWIN-200806115603",
        true,
        C2,
        PC5,
        &["grunthttp.exe", "wsmprovhost"],
    ),
    scenario(
        "SDWIN-201009173318",
        true,
        C2,
        PC5,
        &["wmic.exe", "notepad.exe", "wbemcomn"],
    ),
    scenario(
        "SDWIN-201022042947",
        true,
        C2,
        PC5,
        &["purplesharp.exe", "srvsvc"],
    ),
    scenario(
        "Log4Shell",
        true,
        "192.168.3.5",
        "192.168.2.5",
        &["tomcat9.exe"],
    ),
];

/// Incidents that count.
const TOP: usize = 10;

struct Outcome {
    strict: Option<usize>,
    host: Option<usize>,
    text: String,
}

fn endings(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder of the set")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| {
            let name = path.to_string_lossy();
            endings.iter().any(|ending| name.ends_with(ending))
        })
        .collect();
    files.sort();
    files
}

fn judge(folder: &Path, truth: &Scenario) -> Outcome {
    let captures = endings(folder, &[".cap", ".pcap", ".pcapng"]);
    let settings = pipeline::Settings::default();
    let mut logs = HostLogs::read(&endings(folder, &[".jsonl.gz"])).expect("a log of the set");
    logs.set_clocks(&captures, &settings, &mut |_| {})
        .expect("captures of the set");
    let training = pipeline::Training {
        model: model::Settings::default(),
        rows: 100_000,
        trusting: false,
    };
    let learned =
        pipeline::train_on_captures(&captures, &settings, &training, &mut |_| {}, &mut |_, _| {
            Ok(())
        })
        .expect("flows to learn from");
    let mut processes = std::collections::HashMap::new();
    let summary = pipeline::score_capture(
        &captures,
        &settings,
        &learned.model,
        &mut |_| {},
        &mut |scored, _| {
            let mut row = scored.row;
            let view = logs.fill(&scored.record, &mut row);
            logs.tally(&view);
            if let Some(process) = logs.process(&scored.record) {
                processes.insert(scored.record.id, process);
            }
            Ok(())
        },
    )
    .expect("captures of the set");
    let findings: Findings = logs.findings();
    let flows = summary
        .incidents
        .ranked()
        .into_iter()
        .map(|incident| Told::Flows(incident, processes.get(&incident.worst.flow).cloned()));
    let told = told::ranked(
        flows
            .chain(findings.ranked().into_iter().map(Told::Log))
            .collect(),
    );
    let mut outcome = Outcome {
        strict: None,
        host: None,
        text: logs.words().join("\n    "),
    };
    for (at, incident) in told.iter().enumerate().take(TOP) {
        let sentence = incident.sentence().to_lowercase();
        let listener = match incident {
            Told::Flows(flows, _) => {
                let listener = truth.listener.parse().expect("an address");
                flows.subject.address == listener || flows.peers.contains(&listener)
            }
            Told::Log(finding) => {
                finding.actor == truth.listener || sentence.contains(truth.listener)
            }
        };
        let program = truth.programs.iter().any(|name| sentence.contains(name));
        if listener || program {
            outcome.strict = outcome.strict.or(Some(at + 1));
        }
        if incident.host() == truth.actor || sentence.contains(&format!("{} ", truth.actor)) {
            outcome.host = outcome.host.or(Some(at + 1));
        }
        outcome.text.push_str(&format!(
            "\n    {:2}. {:5.2} {} {}: {}",
            at + 1,
            incident.evidence(),
            incident.kind(),
            incident.host(),
            incident.sentence()
        ));
    }
    outcome
}

#[test]
fn attackers_are_among_the_first_incidents_of_capture_and_log() {
    let Some(data) = support::shared("otrf-windows-attacks") else {
        return;
    };
    let folders: Vec<PathBuf> = fs::read_dir(&data)
        .expect("the set")
        .map(|entry| entry.expect("readable").path())
        .collect();
    let mut found = [0, 0];
    println!("scenario            part       strict  host");
    for truth in &SCENARIOS {
        let is = |folder: &&PathBuf| {
            let name = folder.file_name().expect("a name").to_string_lossy();
            name.starts_with(truth.folder)
        };
        let folder = folders.iter().find(is).expect("every scenario is there");
        let outcome = judge(folder, truth);
        let rank = |rank: Option<usize>| rank.map_or("-".to_owned(), |rank| rank.to_string());
        println!(
            "{:20}{:11}{:8}{}\n    {}",
            truth.folder,
            if truth.chosen { "chosen" } else { "confirmed" },
            rank(outcome.strict),
            rank(outcome.host),
            outcome.text
        );
        if outcome.strict.is_some() {
            found[usize::from(truth.chosen)] += 1;
        }
    }
    println!(
        "found: {} of 10 chosen on, {} of 5 confirmed",
        found[1], found[0]
    );
    assert!(found[0] + found[1] >= 12, "attackers found: {found:?}");
}
