#!/usr/bin/env python3
"""scikit-learn's isolation forest beside ours.

    sklearn_forest.py time             prints its scoring and training times as one JSON object
    sklearn_forest.py fixture          prints a small forest of its own, with points and scores, as JSON:
                                       model/src/peer/sklearn_forest.json, against which the scorer is tested
"""

import json
import sys
import time

import numpy as np
import sklearn
from sklearn.ensemble import IsolationForest


def made_up(rows, columns, seed=1):
    rng = np.random.default_rng(seed)
    data = np.exp(rng.normal(3, 1.5, (rows, columns)))
    data[:, ::3] = rng.random((rows, len(range(0, columns, 3))))
    return data.astype(np.float32)


def timings():
    out = {"version": sklearn.__version__, "scoring": [], "training": []}
    for columns in (20, 40, 90):
        data = made_up(20000, columns)
        forest = IsolationForest(n_estimators=100, max_samples=256, random_state=1, n_jobs=1).fit(data)
        for batch in (4096, 1):
            spent = []
            for start in range(0, 4 * batch, batch):
                begin = time.perf_counter()
                forest.score_samples(data[start : start + batch])
                spent.append(time.perf_counter() - begin)
            out["scoring"].append(
                {"columns": columns, "batch": batch, "ns_per_row": float(np.median(spent)) * 1e9 / batch}
            )
    data = made_up(1000000, 20)
    begin = time.perf_counter()
    # A contamination of "auto" scores no row: this is the growing of the trees alone.
    IsolationForest(n_estimators=100, max_samples=256, random_state=1, n_jobs=1).fit(data)
    out["training"].append({"columns": 20, "rows": len(data), "ms": (time.perf_counter() - begin) * 1e3})
    return out


def fixture():
    """Thresholds are doubles and points are floats; both are printed exactly."""
    data = made_up(400, 5, seed=2)
    forest = IsolationForest(n_estimators=15, max_samples=64, random_state=3).fit(data)
    points = np.concatenate([made_up(60, 5, seed=4), made_up(20, 5, seed=5) * 9]).astype(np.float32)
    trees = []
    for estimator in forest.estimators_:
        tree = estimator.tree_
        trees.append(
            [
                {"rows": int(tree.n_node_samples[node])}
                if tree.children_left[node] < 0
                else {
                    "column": int(tree.feature[node]),
                    "threshold": float(tree.threshold[node]),
                    "left": int(tree.children_left[node]),
                    "right": int(tree.children_right[node]),
                }
                for node in range(tree.node_count)
            ]
        )
    return {
        "made_by": f"bench/python/sklearn_forest.py fixture, scikit-learn {sklearn.__version__}",
        "rows_per_tree": 64,
        "trees": trees,
        "points": [[float(value) for value in point] for point in points],
        "scores": [float(-score) for score in forest.score_samples(points)],
    }


if __name__ == "__main__":
    print(json.dumps({"time": timings, "fixture": fixture}[sys.argv[1]]()))
