"""Draws the loss of a run: `python plot.py [run/loss.csv [loss.png]]`."""

import csv
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

source, target = (sys.argv[1:] + ["run/loss.csv", "loss.png"][len(sys.argv) - 1:])[:2]
with open(source) as f:
    rows = list(csv.DictReader(f))
plt.figure(figsize=(7, 3))
plt.plot([int(r["step"]) for r in rows], [float(r["loss"]) for r in rows])
plt.xlabel("step"), plt.ylabel("loss, running mean")
plt.tight_layout()
plt.savefig(target, dpi=100)
