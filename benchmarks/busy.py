"""Run a library and its ONNX source beside another busy program. Writes docs/results/busy.md.

python benchmarks/busy.py [ARTIFACT ...]

ARTIFACT is a folder that `tvm-bench build --frontend onnx` wrote; its source is run by ONNX Runtime. Each time is that
of a process of its own, all runtimes in turn, calm and busy. The busy program is a loop in Python.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import measured

from tvm_bench.backends.relay.runtime import THREADS
from tvm_bench.host import manifest
from tvm_bench.jobs import launcher

RESULTS = measured.FOLDER / "busy.json"
TIMED = """
import sys, time
from pathlib import Path
import numpy as np
from tvm_bench import backends
backend, artifact, golden, threads = sys.argv[1:]
with np.load(golden) as arrays:
    inputs = tuple(arrays[name] for name in arrays if name.startswith("input_"))
infer = backends.load(backend, Path(artifact), threads=int(threads))
times = []
for call in range(120):
    start = time.perf_counter()
    infer(inputs)
    times.append(time.perf_counter() - start)
print(sorted(times[20:])[50] * 1e3)
"""
TVM_DEFAULTS = {"TVM_BIND_THREADS": "1", "TVM_THREAD_POOL_SPIN_COUNT": "300000"}
HEADER = ("library", "runtime", "calm", "busy", "ratio")
TEXT = """# Beside a busy program

{origin}

Median latency in ms, from the median of {repeats} processes each. The other program is a loop, on one of the
{threads} CPUs. *TVM's own settings* bind each thread to a CPU, and let it look for work 300,000 times before it sleeps.
*Ours* do neither: `{ours}`. ONNX Runtime has its defaults.

{table}
"""


@click.command(help=__doc__)
@click.argument("artifacts", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--repeats", default=5, show_default=True)
def main(artifacts: tuple[Path, ...], repeats: int) -> None:
    rows = []
    for artifact in artifacts or tuple(Path("artifacts/resnet18").glob("*-relay-onnx")):
        about = manifest.verify(artifact)
        source = artifact.parent / "sources" / f"{about['precision']}-onnx.onnx"
        runs = {
            "Relay, TVM's own settings": ("relay", artifact, TVM_DEFAULTS),
            "Relay, ours": ("relay", artifact, THREADS),
            "ONNX Runtime": ("onnxruntime", source, {}),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for _ in range(repeats):
            for name, (backend, path, settings) in runs.items():
                calm = timed(backend, path, artifact, about["threads"], settings)
                with busy_program():
                    times[name].append((calm, timed(backend, path, artifact, about["threads"], settings)))
        for name, pairs in times.items():
            calm, busy = (statistics.median(column) for column in zip(*pairs, strict=True))
            rows.append({"library": about["name"], "runtime": name, "calm": calm, "busy": busy})
    ours = ", ".join(f"{name}={value}" for name, value in THREADS.items())
    measured.keep(RESULTS, page, ours=ours, repeats=repeats, rows=rows)


def page(results: dict[str, Any]) -> str:
    """The Markdown page of the results."""
    lines = [_line(**row) for row in results["rows"]]
    about = {name: results[name] for name in ("ours", "repeats", "threads")}
    origin = measured.origin(results, "python benchmarks/busy.py")
    return TEXT.format(origin=origin, table=measured.lines_of(HEADER, lines), **about)


def _line(library: str, runtime: str, calm: float, busy: float) -> list[str]:
    return [library, runtime, f"{calm:.2f}", f"{busy:.2f}", f"{busy / calm:.1f}"]


def timed(backend: str, path: Path, artifact: Path, threads: int, settings: dict[str, str]) -> float:
    """Median milliseconds of a call, in a new process."""
    command = [sys.executable, "-c", TIMED, backend, path, artifact / manifest.GOLDEN, str(threads)]
    environment = {**launcher.child_environment(threads), **settings}
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


@contextmanager
def busy_program() -> Iterator[None]:
    """Another program that computes all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
