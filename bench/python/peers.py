#!/usr/bin/env python3
"""The peers of `cargo xtask bench quality`, on rows it has written.

    peers.py versions
    peers.py forest FOLDER COLUMNS SEEDS
    peers.py boosting FOLDER COLUMNS SEEDS TREES CATEGORICAL

reads FOLDER/{train,test}.f32 (row-major little-endian floats; `boosting` also classes.f32, 0 is ordinary) and
writes FOLDER/scores.f32: for each seed one score a test row, higher is more anomalous. CATEGORICAL is a comma
separated list of columns; it prints the nanoseconds that a row takes to score. Needs NumPy, scikit-learn and, for `boosting`, LightGBM.
"""

import pathlib
import sys
import time
import warnings

import joblib
import numpy as np
import sklearn
from sklearn.ensemble import IsolationForest


def read(folder, name, columns):
    return np.fromfile(folder / name, dtype="<f4").reshape(-1, columns)


def forest(folder, columns, seeds):
    train, test = read(folder, "train.f32", columns), read(folder, "test.f32", columns)
    with np.errstate(all="ignore"):
        known = np.where(np.isfinite(train), train, np.nan)
        usual = np.nan_to_num(np.nanmedian(known, axis=0))
    train = np.where(np.isfinite(train), train, usual)
    test = np.where(np.isfinite(test), test, usual)

    def one(seed):
        model = IsolationForest(n_estimators=100, max_samples=256, random_state=seed).fit(train)
        return -model.score_samples(test)

    # A seed a core; joblib comes with scikit-learn.
    return joblib.Parallel(n_jobs=-1)(joblib.delayed(one)(seed) for seed in range(seeds))


def boosting(folder, columns, seeds, trees, categorical):
    import lightgbm

    train, test = read(folder, "train.f32", columns), read(folder, "test.f32", columns)
    classes = np.fromfile(folder / "classes.f32", dtype="<f4").astype(int)
    for seed in range(seeds):
        model = lightgbm.LGBMClassifier(n_estimators=trees, random_state=seed, verbose=-1, n_jobs=1)
        model.fit(train, classes, categorical_feature=categorical or "auto")
        begin = time.perf_counter()
        shares = model.predict_proba(test)
        print(f"{(time.perf_counter() - begin) * 1e9 / len(test):.1f}")
        yield 1.0 - shares[:, 0]


def main():
    warnings.filterwarnings("ignore")
    what, *rest = sys.argv[1:]
    if what == "versions":
        names = [f"scikit-learn {sklearn.__version__}"]
        try:
            import lightgbm

            names.append(f"LightGBM {lightgbm.__version__}")
        except ImportError:
            pass
        print(", ".join(names))
        return
    folder, columns, seeds = pathlib.Path(rest[0]), int(rest[1]), int(rest[2])
    if what == "forest":
        scores = forest(folder, columns, seeds)
    else:
        categorical = [int(at) for at in rest[4].split(",") if at]
        scores = boosting(folder, columns, seeds, int(rest[3]), categorical)
    np.concatenate(list(scores)).astype("<f4").tofile(folder / "scores.f32")


if __name__ == "__main__":
    main()
