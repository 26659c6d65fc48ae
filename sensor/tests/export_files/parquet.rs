//! Parquet: the same as the CSV file, and nothing lost of a sensor that is killed.

use std::{fs, io::Write as _, path::Path};

use sensor::sink::{
    outlet::{Deliver, DeliveryError, Encode},
    parquet::{Folder, Rows},
};

use crate::{cli, config, demo, messages, names, python, told};

/// Compares every cell of a CSV file with a Parquet file's.
const SAME_AS_CSV: &str = r#"
import csv, math, sys, pyarrow as pa, pyarrow.parquet as pq
table = pq.read_table(sys.argv[2])
rows = list(csv.DictReader(open(sys.argv[1], newline="")))
assert table.column_names == list(rows[0]), "columns"
assert table.num_rows == len(rows), (table.num_rows, len(rows))
cells = nulls = 0
for name in table.column_names:
    kind = table.schema.field(name).type
    if pa.types.is_timestamp(kind):
        assert str(kind) == "timestamp[ns, tz=UTC]", kind
        values = table[name].cast(pa.int64()).to_pylist()
    else:
        values = table[name].to_pylist()
    for value, row in zip(values, rows):
        text, cells = row[name], cells + 1
        if value is None:
            nulls += 1
            assert text == "", (name, text)
        elif pa.types.is_timestamp(kind):
            day, clock = text.rstrip("Z").split("T")
            clock, nanoseconds = clock.split(".")
            import datetime
            seconds = datetime.datetime.fromisoformat(day + "T" + clock + "+00:00").timestamp()
            assert value == int(seconds) * 10**9 + int(nanoseconds), (name, value, text)
        elif pa.types.is_string(kind):
            assert value == text, (name, value, text)
        elif pa.types.is_floating(kind):
            import numpy
            exact = numpy.float32(text) if kind == pa.float32() else float(text)
            assert value == exact, (name, value, text)
        else:
            assert value == int(text), (name, value, text)
file = pq.ParquetFile(sys.argv[2])
codecs = {file.metadata.row_group(0).column(at).compression for at in range(file.metadata.num_columns)}
assert codecs == {"SNAPPY"}, codecs
print(f"{table.num_rows} rows, {table.num_columns} columns, {cells} cells as in the CSV file, {nulls} of them null")
"#;

#[test]
fn arrow_reads_what_the_csv_file_has() {
    let Some(python) = python::with(&["pyarrow"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for name in ["flows.csv", "flows.parquet"] {
        cli::stdout(
            folder.path(),
            &["pcap", &demo().to_string_lossy(), "-o", name, "-q"],
        );
    }
    println!(
        "pcap: {}",
        python::run(
            &python,
            SAME_AS_CSV,
            &[&at("flows.csv"), &at("flows.parquet")]
        )
    );
    cli::stdout(
        folder.path(),
        &[
            "train",
            &demo().to_string_lossy(),
            "-o",
            "m.model",
            "--trees",
            "20",
            "-q",
        ],
    );
    for name in ["scored.csv", "scored.parquet"] {
        cli::stdout(
            folder.path(),
            &[
                "predict",
                &demo().to_string_lossy(),
                "-m",
                "m.model",
                "-o",
                name,
                "-q",
            ],
        );
    }
    println!(
        "predict: {}",
        python::run(
            &python,
            SAME_AS_CSV,
            &[&at("scored.csv"), &at("scored.parquet")]
        )
    );
    assert!(names(folder.path(), ".unfinished").is_empty());
}

/// Prints the ids of all files in order, after having read every column.
const IDS: &str = r#"
import sys, pyarrow.parquet as pq
for path in sys.argv[1:]:
    table = pq.read_table(path)
    assert table.schema.names[-1] == "reasons"
    for name, prediction in zip(table["flow_id"].to_pylist(), table["prediction"].to_pylist()):
        print(name, prediction)
"#;

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    names(folder, ".parquet")
}

#[test]
fn a_sensor_that_is_killed_loses_no_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("flows");
    let of_rows = |rows: &str| {
        let folder = place.to_string_lossy();
        let config = config(&[("parquet.folder", &folder), ("parquet.rows_per_file", rows)]);
        Folder::new(place.clone(), &config.parquet)
    };
    let (flows, _) = told();
    let mut parcels = Vec::new();
    let mut rows = Rows::default();
    for message in messages(&flows) {
        rows.encode(&message, &mut parcels);
    }
    let third = parcels.len() / 3;
    let mut first = of_rows("1000000");
    assert_eq!(first.deliver(&parcels[..third]), (third, Ok(())));
    // Killed: nothing is finished. The last thing it wrote was cut off.
    drop(first);
    let journals = names(&place, ".rows");
    assert_eq!(journals.len(), 1);
    let mut journal = fs::OpenOptions::new()
        .append(true)
        .open(&journals[0])
        .expect("the journal");
    journal.write_all(&[200, 0, 0, 0, 1, 2, 3]).expect("bytes");
    drop(journal);
    let mut second = of_rows("700");
    for parcel in &parcels[third..] {
        assert_eq!(second.deliver(std::slice::from_ref(parcel)), (1, Ok(())));
        assert!(names(&place, ".unfinished").is_empty());
    }
    // What is no parcel of this version is refused, and harms nothing.
    let (taken, refused) = second.deliver(&[vec![1; 100]]);
    assert_eq!(taken, 0);
    assert!(matches!(refused, Err(DeliveryError::Never { .. })));
    second.finish();
    assert!(names(&place, ".rows").is_empty());
    let files = files(&place);
    assert!(files.len() >= 3, "{files:?}");
    let Some(python) = python::with(&["pyarrow"]) else {
        return;
    };
    let paths: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
    let told = python::run(&python, IDS, &paths);
    let wanted: Vec<String> = flows
        .iter()
        .map(|flow| {
            let prediction = match &flow.verdict {
                None => "learning",
                Some(verdict) if verdict.anomalous => "anomaly",
                Some(_) => "normal",
            };
            format!("{:016x} {prediction}", flow.record.id)
        })
        .collect();
    assert!(told.lines().eq(&wanted), "all rows, once, in order");
    println!("{} rows in {} files", wanted.len(), files.len());
}

#[test]
fn the_oldest_files_leave() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&[
        ("parquet.folder", &folder.path().to_string_lossy()),
        ("parquet.rows_per_file", "1"),
        ("parquet.keep_bytes", "400k"),
    ]);
    let (flows, _) = told();
    let mut place = Folder::new(folder.path().to_owned(), &config.parquet);
    let mut rows = Rows::default();
    for message in &messages(&flows)[..40] {
        let mut parcels = Vec::new();
        rows.encode(message, &mut parcels);
        let count = parcels.len();
        assert_eq!(place.deliver(&parcels), (count, Ok(())));
    }
    let files = files(folder.path());
    let bytes: u64 = files
        .iter()
        .map(|file| fs::metadata(file).expect("a file").len())
        .sum();
    assert!(
        bytes <= 400_000 && !files.is_empty() && files.len() < 40,
        "{bytes} in {}",
        files.len()
    );
}
