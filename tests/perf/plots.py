"""Draw what was measured: tests/perf/results/*.json -> docs/plots/*.png.

    .venv/bin/python -m pip install --group perf
    .venv/bin/python -m tests.perf.plots

A figure whose results are not there is left out.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PLOTS = HERE.parents[1] / "docs" / "plots"
OURS, OTHER, THIRD, FOURTH = "#1f6feb", "#9a6700", "#1a7f37", "#57606a"
Axes = Any


def latency(axes: Axes, found: dict[str, Any]) -> None:
    """How many Jobs were there after how many milliseconds."""
    for whose, colour in (("ours", OURS), ("idiomatic", OTHER)):
        times = found["percentiles_ms"][whose]
        axes.plot(times, range(1, 100), color=colour, label=whose, linewidth=1.6)
    axes.axvline(20, color=FOURTH, linewidth=0.8, linestyle="--")
    axes.axvline(60, color=FOURTH, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    marks = (5, 10, 20, 60, 200)
    axes.set_xticks(marks, map(str, marks))
    axes.minorticks_off()
    axes.set(xlabel="milliseconds from task to Job (targets: p50 20, p99 60)", ylabel="% of tasks")
    axes.set_title("One task at a time")
    axes.legend()


def burst(axes: Axes, found: dict[str, Any]) -> None:
    """Jobs a second, a bar for each round."""
    for at, (whose, colour) in enumerate((("ours", OURS), ("idiomatic", OTHER))):
        rates = found["every_rate"][whose]
        places = [n + 0.4 * at for n in range(len(rates))]
        axes.bar(places, rates, width=0.38, color=colour, label=whose)
    axes.axhline(150, color=FOURTH, linewidth=0.8, linestyle="--")
    axes.set_xticks([n + 0.2 for n in range(found["rounds"])], range(1, found["rounds"] + 1))
    axes.set(xlabel="round", ylabel="Jobs a second (target: 150)")
    axes.set_title(f"A backlog of {found['tasks']:,} tasks")
    axes.legend()


def memory(axes: Axes, found: dict[str, Any]) -> None:
    """Resident memory after a cold start."""
    count = f"{found['tasks']:,}"
    bars = (
        ("ours,\nno tasks", found["empty"]["rss_mb"], OURS),
        (f"ours,\n{count} live", found["live"]["ours"]["rss_mb"], OURS),
        (f"kopf idle,\n{count} live", found["live"]["idle"]["rss_mb"], OTHER),
        (f"ours,\n{count} finished", found["finished"]["ours"]["rss_mb"], OURS),
        (f"kopf idle,\n{count} finished", found["finished"]["idle"]["rss_mb"], OTHER),
    )
    labels, sizes, colours = zip(*bars, strict=True)
    axes.bar(labels, sizes, color=colours)
    axes.bar_label(axes.containers[0], fmt="%.0f")
    axes.tick_params(axis="x", labelsize=8)
    axes.set(ylabel="MB resident")
    axes.set_title("After a cold start")


def kwok(axes: Axes, found: dict[str, Any]) -> None:
    """How many tasks had come how far, over the time."""
    ways = (("applied", FOURTH), ("Job", OTHER), ("Running", OURS), ("Succeeded", THIRD))
    for state, colour in ways:
        seconds, counts = zip(*found["curve"][state], strict=True)
        axes.plot(seconds, counts, color=colour, label=state, linewidth=1.6)
    axes.set(xlabel="seconds", ylabel="tasks that got there")
    axes.set_title(f"{found['tasks']:,} tasks on a node of KWOK, 2 cores for all")
    axes.legend()


FIGURES: dict[str, Callable[[Axes, dict[str, Any]], None]] = {
    "latency": latency,
    "burst": burst,
    "memory": memory,
    "kwok": kwok,
}


def main() -> None:
    """Draw all that was measured."""
    matplotlib.use("Agg")
    for name, draw in FIGURES.items():
        source = RESULTS / f"{name}.json"
        if not source.exists():
            sys.stderr.write(f"{name}: not measured\n")
            continue
        figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, json.loads(source.read_text("utf-8"))[name])
        figure.savefig(PLOTS / f"{name}.png", dpi=100, metadata={"Software": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
