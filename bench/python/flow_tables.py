#!/usr/bin/env python3
"""Turns labelled flow tables into the plain files that `bench quality` reads.

    flow_tables.py SHARED_DATA OUT

writes OUT/<task>/{train.f32,test.f32,labels.u8,schema.json}: row-major little-endian floats, one byte a test
row (1 = attack), and the columns with the transform each is declared with. Needs NumPy only.

Tasks, as docs/models.md describes them: what is trained on, and what is ranked.
"""

import csv
import gzip
import json
import lzma
import pathlib
import sys

import numpy as np

SEED = 20170704


def surrogate(values):
    """Category names to numbers, in order of first appearance."""
    known = {}
    return np.array([known.setdefault(value, len(known)) for value in values], dtype=np.float32)


def table(rows, names, categorical, drop):
    """Columns of a text table as floats, with the transform each is declared with."""
    columns, data = [], []
    for at, name in enumerate(names):
        if name in drop:
            continue
        texts = [row[at] for row in rows]
        if name in categorical:
            values, transform = surrogate(texts), "categorical"
        else:
            values = np.array([float(text) if text else np.nan for text in texts], dtype=np.float32)
            finite = values[np.isfinite(values)]
            share = finite.size and finite.min() >= 0 and finite.max() <= 1
            transform = "linear" if share else "signed-log"
        columns.append({"name": name, "unit": "1", "transform": transform})
        data.append(values)
    return columns, np.stack(data, axis=1)


def write(out, task, columns, train, test, labels):
    folder = out / task
    folder.mkdir(parents=True, exist_ok=True)
    train.astype("<f4").tofile(folder / "train.f32")
    test.astype("<f4").tofile(folder / "test.f32")
    labels.astype(np.uint8).tofile(folder / "labels.u8")
    (folder / "schema.json").write_text(json.dumps({"columns": columns}))
    print(f"{task}: {train.shape[1]} columns, {len(train)} training, {len(test)} test, {labels.sum()} attacks")


def clean_and_hidden(out, task, columns, data, labels, rng):
    """Trained on half of the normal rows, clean and with 5 % attacks hidden; ranked: everything else."""
    normal = rng.permutation(np.flatnonzero(labels == 0))
    attacks = rng.permutation(np.flatnonzero(labels == 1))
    train, rest = normal[: len(normal) // 2], normal[len(normal) // 2 :]
    test = np.concatenate([rest, attacks])
    write(out, f"{task}-clean", columns, data[train], data[test], labels[test])
    hidden, shown = np.split(attacks, [len(train) // 19])
    test = np.concatenate([rest, shown])
    train = rng.permutation(np.concatenate([train, hidden]))
    write(out, f"{task}-hidden", columns, data[train], data[test], labels[test])


def kdd_names():
    return (
        "duration protocol_type service flag src_bytes dst_bytes land wrong_fragment urgent hot num_failed_logins"
        " logged_in num_compromised root_shell su_attempted num_root num_file_creations num_shells num_access_files"
        " num_outbound_cmds is_host_login is_guest_login count srv_count serror_rate srv_serror_rate rerror_rate"
        " srv_rerror_rate same_srv_rate diff_srv_rate srv_diff_host_rate dst_host_count dst_host_srv_count"
        " dst_host_same_srv_rate dst_host_diff_srv_rate dst_host_same_src_port_rate dst_host_srv_diff_host_rate"
        " dst_host_serror_rate dst_host_srv_serror_rate dst_host_rerror_rate dst_host_srv_rerror_rate"
    ).split()


def main():
    shared, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    tables = shared / "labelled-flow-tables"
    rng = np.random.default_rng(SEED)

    with gzip.open(tables / "kddcup99-10percent.gz", "rt") as file:
        rows = list(csv.reader(file))
    kinds = np.array([row[41].rstrip(".") for row in rows])
    labels = (kinds != "normal").astype(np.uint8)
    columns, data = table(rows, kdd_names(), {"protocol_type", "service", "flag"}, set())
    normal, attacks = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    one_percent = rng.choice(attacks, len(normal) // 99, replace=False)
    some = np.concatenate([normal, one_percent])
    write(out, "kdd-sa1", columns, data[some], data[some], labels[some])
    names, counts = np.unique(kinds, return_counts=True)
    rare = set(names[counts < 2000])
    some = np.concatenate([normal, np.flatnonzero([kind in rare and kind != "normal" for kind in kinds])])
    write(out, "kdd-rare", columns, data[some], data[some], labels[some])

    with lzma.open(tables / "nsl-kdd-train-20percent.txt.xz", "rt") as file:
        rows = list(csv.reader(file))
    labels = np.array([row[41] != "normal" for row in rows], dtype=np.uint8)
    columns, data = table(rows, kdd_names(), {"protocol_type", "service", "flag"}, set())
    clean_and_hidden(out, "nsl", columns, data, labels, rng)

    with lzma.open(tables / "unsw-nb15-even.csv.xz", "rt", encoding="utf-8-sig") as file:
        header, *rows = csv.reader(file)
    kind = header.index("attack_cat")
    rows = [row for row in rows if row[kind] in ("Normal", "Backdoor")]
    labels = np.array([row[kind] != "Normal" for row in rows], dtype=np.uint8)
    drop = {"id", "attack_cat", "label"}
    columns, data = table(rows, header, {"proto", "service", "state"}, drop)
    write(out, "unsw-backdoor", columns, data, data, labels)
    normal = rng.permutation(np.flatnonzero(labels == 0))
    train, rest = normal[: len(normal) // 2], normal[len(normal) // 2 :]
    test = np.concatenate([rest, np.flatnonzero(labels == 1)])
    write(out, "unsw-backdoor-clean", columns, data[train], data[test], labels[test])

    rows = []
    for path in sorted((tables / "cicids2017-improved").glob("*.csv.xz")):
        with lzma.open(path, "rt", encoding="utf-8-sig") as file:
            header, *body = csv.reader(file)
        rows += body
    labels = np.array([row[header.index("Label")] != "BENIGN" for row in rows], dtype=np.uint8)
    drop = {"id", "Flow ID", "Src IP", "Src Port", "Dst IP", "Timestamp", "Label", "Attempted Category"}
    columns, data = table(rows, header, {"Dst Port", "Protocol", "ICMP Code", "ICMP Type"}, drop)
    clean_and_hidden(out, "cic", columns, data, labels, rng)

    for path in sorted((shared / "isolation-forest-benchmarks").glob("*.npz")):
        archive = np.load(path)
        data, labels = archive["X"].astype(np.float32), archive["y"].astype(np.uint8)
        columns = [{"name": f"x{i}", "unit": "1", "transform": "linear"} for i in range(data.shape[1])]
        write(out, f"plain-{path.stem.split('_')[1].lower()}", columns, data, data, labels)


if __name__ == "__main__":
    main()
