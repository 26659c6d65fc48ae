//! Training with labels, predicting and evaluating, as a user would, on tables made here.

mod cli_support;

use std::{fmt::Write as _, fs, io::Write as _, path::Path};

use cli_support::{run, stdout};

/// A table of others' making: an identifier, words, numbers of which some are missing, a port, and the label. Rows
/// of `service` smtp with many bytes are `spam`, those of port 4444 are `shell`.
fn table(rows: u64, seed: u64) -> String {
    let mut text = "Flow ID,service,bytes,Dst Port,rate,Label\n".to_owned();
    for row in 0..rows {
        let chance = |salt: u64| {
            ((row + 1) * 1000 + salt + seed * 77).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33
        };
        let service = ["http", "dns", "smtp", "ssh, or like it"][(chance(1) % 4) as usize];
        let bytes = chance(2) % 10_000;
        let port = if chance(3) % 10 == 0 {
            4444
        } else {
            80 + chance(4) % 3
        };
        let label = match (service, bytes, port) {
            (_, _, 4444) => "shell",
            ("smtp", 5000.., _) => "spam",
            _ => "BENIGN",
        };
        let rate = if chance(5) % 3 == 0 {
            String::new()
        } else {
            format!("0.{}", chance(6) % 100)
        };
        let _ = writeln!(
            text,
            "{row}-{label},\"{service}\",{bytes},{port},{rate},{label}"
        );
    }
    text
}

fn in_folder(test: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().expect("a folder");
    test(folder.path());
}

#[test]
fn labels_are_learned_predicted_and_evaluated() {
    in_folder(|folder| {
        let packed = fs::File::create(folder.join("seen.csv.gz")).expect("a file");
        let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        packed
            .write_all(table(6000, 1).as_bytes())
            .and_then(|()| packed.try_finish())
            .expect("written");
        drop(packed);
        fs::write(folder.join("new.csv"), table(2000, 2)).expect("written");
        let said = stdout(
            folder,
            &["train", "--labels", "Label", "seen.csv.gz", "-o", "m.model"],
        );
        assert!(
            said.contains("4 features") && said.contains("BENIGN") && said.contains("shell"),
            "{said}"
        );
        let shown = stdout(folder, &["model", "show", "m.model"]);
        assert!(
            shown.contains("boosted trees") && shown.contains("Dst Port"),
            "{shown}"
        );

        let predicted = stdout(folder, &["predict", "-m", "m.model", "new.csv", "-o", "-"]);
        let mut lines = predicted.lines();
        let header = lines.next().unwrap_or_default();
        assert_eq!(
            header,
            "Flow ID,service,bytes,Dst Port,rate,Label,score,p_value,severity,prediction,reasons,predicted_class"
        );
        let right = lines
            .filter(|line| {
                let label = line
                    .split(',')
                    .next()
                    .and_then(|id| id.split('-').nth(1))
                    .unwrap_or_default();
                line.rsplit(',').next() == Some(label)
            })
            .count();
        assert!(right > 1980, "{right} of 2000 are called what they are");

        let figures = stdout(
            folder,
            &[
                "eval", "--label", "Label", "-m", "m.model", "new.csv", "--report", "r.html",
                "--format", "json",
            ],
        );
        let figures: serde_json::Value = serde_json::from_str(&figures).expect("JSON");
        assert!(figures["roc_auc"].as_f64() > Some(0.99), "{figures}");
        assert!(
            figures["confusion"]["spam"]["spam"].as_u64() > Some(100),
            "{figures}"
        );
        let report = fs::read_to_string(folder.join("r.html")).expect("a report");
        assert_eq!(report.matches("<svg").count(), 4);
        assert!(!report.contains("NaN") && !report.contains("<script"));

        // The same figures from the predictions, which hold score and verdict.
        fs::write(folder.join("p.csv"), predicted).expect("written");
        let again = stdout(
            folder,
            &["eval", "--label", "Label", "p.csv", "--format", "json"],
        );
        let again: serde_json::Value = serde_json::from_str(&again).expect("JSON");
        for figure in ["roc_auc", "recall", "confusion"] {
            assert_eq!(again[figure], figures[figure], "{figure}");
        }
    });
}

#[test]
fn what_cannot_be_done_with_labels_is_said() {
    in_folder(|folder| {
        fs::write(folder.join("t.csv"), table(300, 1)).expect("written");
        fs::write(folder.join("other.csv"), "a,b,Label\n1,2,BENIGN\n").expect("written");
        stdout(
            folder,
            &["train", "--labels", "Label", "t.csv", "-o", "m.model"],
        );
        for (arguments, code, words) in [
            (
                &["train", "--labels", "nothing", "t.csv"][..],
                2,
                "no column `nothing`",
            ),
            (
                &["train", "--labels", "Label", "t.csv", "other.csv"],
                1,
                "other columns",
            ),
            (
                &["train", "--labels", "Label", "absent.csv"],
                66,
                "absent.csv",
            ),
            (
                &["train", "--labels", "Label", "other.csv"],
                1,
                "labels must name",
            ),
            (
                &["predict", "-m", "m.model", "other.csv"],
                2,
                "no column `service`",
            ),
            (
                &["explain", "-m", "m.model", "t.csv"],
                1,
                "boosted classifier",
            ),
        ] {
            let output = run(folder, arguments);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(words), "{arguments:?}: {said}");
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
            assert_eq!(said.trim().lines().count(), 1, "{said}");
        }
    });
}

/// NSL-KDD and KDD99 have no header: they are known by the form of their lines.
#[test]
fn tables_of_kdd_need_no_header() {
    in_folder(|folder| {
        let mut text = String::new();
        for row in 0..600 {
            let (flag, class) = if row % 3 == 0 {
                ("S0", "neptune.")
            } else {
                ("SF", "normal.")
            };
            let _ = writeln!(
                text,
                "0,tcp,http,{flag},{}{},{class}",
                row % 50,
                ",0".repeat(36)
            );
        }
        fs::write(folder.join("kdd"), text).expect("written");
        let said = stdout(
            folder,
            &["train", "--labels", "class", "kdd", "-o", "m.model"],
        );
        assert!(
            said.contains("41 features") && said.contains("neptune"),
            "{said}"
        );
    });
}

#[test]
fn a_capture_where_a_table_is_wanted_is_told_how_to_become_one() {
    in_folder(|folder| {
        fs::write(folder.join("a.pcap"), [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]).expect("written");
        let output = run(folder, &["train", "--labels", "Label", "a.pcap"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("a.pcap: not a table"), "{said}");
        assert!(said.contains("anomaly-detect features"), "{said}");
    });
}
