"""Race Relay against ONNX Runtime on many networks, FP32 and INT8, by both front ends.

Writes docs/results/zoo.md, on another CPU than the reference a page of that CPU, such as zoo-znver3.md.

python benchmarks/zoo.py [NAME ...] [--onnx FOLDER] [--changed-since COMMIT]

NAME is a pattern, such as `resnet*`; without one, all of torchvision's classifiers and segmentation networks, and
EfficientNet-Lite0, the small ones first. The weights are random, but fitted to images. Every network is a process of
its own: one that crashes, or takes too long, is a row with its reason. Interruptible: the same command resumes.
"""

from __future__ import annotations

import datetime
import fnmatch
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import tvm
import zoo_page
from zoo_page import Cell, Row

from tvm_bench.analysis import results
from tvm_bench.analysis.statistics import mean_latency
from tvm_bench.host import checkout
from tvm_bench.host.files import sha256
from tvm_bench.host.progress import Progress
from tvm_bench.models.torchvision_models import import_torchvision
from tvm_bench.spec.backends import FRONTENDS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
REFERENCE = "znver4"  # by LLVM's name
TOGETHER = 2  # networks that are built at the same time, before they race
SHORTEST = ["--rounds", "1", "--samples", "1"]
IMAGE = ["--input-shape", "3,224,224"]
RANDOM = ["--weights", "random", *IMAGE]
DATA = ["--data", "fashion-mnist", "--calibration-images", "64"]
UNTUNED = ["--logs", os.devnull]  # without it, networks that have tuning records get tuned libraries too
SUBJECT = ["--precision", "fp32,int8", "--frontend", ",".join(FRONTENDS), *DATA, *UNTUNED]


@dataclass(frozen=True)
class Network:
    """A network, and the options of `tvm-bench` that select it."""

    name: str
    options: tuple[str, ...]


@click.command(help=__doc__)
@click.argument("patterns", nargs=-1, metavar="[NAME ...]")
@click.option("--onnx", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A folder of ONNX files.")
@click.option("--changed-since", metavar="COMMIT", help="Race again those networks whose libraries have changed.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--samples", default=20, show_default=True)
@click.option("--images", default=64, show_default=True, help="Images that the answers are checked on.")
@click.option("--minutes", default=40.0, show_default=True, help="The most that a network may take.")
@click.option("--artifacts", type=click.Path(path_type=Path), default=Path("artifacts/zoo"), show_default=True)
@click.option("--keep/--delete", default=False, show_default=True, help="The libraries after a race.")
def main(
    patterns: tuple[str, ...],
    onnx: Path | None,
    changed_since: str | None,
    rounds: int,
    samples: int,
    images: int,
    minutes: float,
    artifacts: Path,
    keep: bool,
) -> None:
    cpu = tvm.target.codegen.llvm_get_system_cpu()
    page, stored = files(cpu)
    rows = zoo_page.load(stored)
    everything = [*torchvision_networks(), *others(), *onnx_files(onnx)]
    networks = selected(everything, patterns)
    if changed_since:
        changed = code_changed(changed_since)
        pending = [n for n in networks if changed and differs(n, rows.get(n.name), artifacts / n.name, minutes)]
    else:
        pending = [network for network in networks if network.name not in rows]
    race = ["--images", str(images), "--rounds", str(rounds), "--samples", str(samples)]
    with Progress("zoo", len(pending)) as progress:
        for group in groups(pending):
            progress.to(progress.steps, f"builds and checks of {', '.join(network.name for network in group)}")
            with ThreadPoolExecutor(TOGETHER) as pool:  # a race finds them done, and has the machine for itself
                list(pool.map(lambda n: bench(n, [*race, *SHORTEST], artifacts / n.name, minutes), group))
            for network in group:
                progress.step(network.name)
                rows[network.name] = measured(network, race, artifacts / network.name, minutes)
                zoo_page.save(rows, stored)
                page.write_text(zoo_page.page(rows, [network.name for network in everything], cpu))
                if not keep:
                    shutil.rmtree(artifacts / network.name, ignore_errors=True)
    click.echo(str(page))


def files(cpu: str) -> tuple[Path, Path]:
    """The page of a CPU and its rows."""
    name = "zoo" if cpu == REFERENCE else f"zoo-{cpu}"
    return RESULTS / f"{name}.md", RESULTS / f"{name}.json"


def torchvision_networks() -> list[Network]:
    """All classifiers and segmentation networks of torchvision, by their number of weights."""
    models = import_torchvision().models
    names = [name for module in (models, models.segmentation) for name in models.list_models(module=module)]
    sizes = {name: models.get_model_weights(name).DEFAULT.meta["num_params"] for name in names}
    return [Network(name, ("--model", name, *RANDOM)) for name in sorted(names, key=sizes.__getitem__)]


def others() -> list[Network]:
    """Networks that are not torchvision's."""
    return [Network("efficientnet_lite0", ("--model", "examples.efficientnet_lite:model"))]


def onnx_files(folder: Path | None) -> list[Network]:
    """The ONNX files in `folder`."""
    return [Network(path.name, ("--model", str(path))) for path in sorted(folder.glob("*.onnx"))] if folder else []


def selected(networks: Iterable[Network], patterns: tuple[str, ...]) -> list[Network]:
    """The networks whose names match a pattern; all without patterns."""
    return [n for n in networks if not patterns or any(fnmatch.fnmatch(n.name, pattern) for pattern in patterns)]


def groups(networks: list[Network]) -> list[list[Network]]:
    """The networks in groups that are built and checked before they race."""
    return [networks[start : start + TOGETHER] for start in range(0, len(networks), TOGETHER)]


def bench(network: Network, race: list[str], folder: Path, minutes: float) -> str:
    """Race a network; the output of the command."""
    return run(["bench", *network.options, *SUBJECT, "--backends", "relay,onnxruntime", *race], folder, minutes)


def measured(network: Network, race: list[str], folder: Path, minutes: float) -> Row:
    """The row of a network after its race."""
    output = bench(network, race, folder, minutes)
    cells = {}
    if path := next(folder.glob("*/results.json"), None):
        cells = {row.name.rpartition("/")[2]: cell(row, path.parent) for row in results.load(path).variants}
    return Row(
        commit=checkout.commit() or "unknown",
        date=datetime.date.today().isoformat(),
        error=None if cells else last_line(output),
        cells=cells,
    )


def cell(row: results.Row, folder: Path) -> Cell:
    """What the page shows of a variant, and the hash of its library."""
    library = folder / row.name.rpartition("/")[2] / "lib.so"
    return Cell(
        ms=mean_latency(row.rounds).value if row.rounds else None,
        problem=row.error or row.flagged,
        library=sha256(library) if library.exists() else None,
        layers=row.layers,
    )


def code_changed(commit: str) -> bool:
    """Whether a file of the package, or a pinned version, differs from `commit`."""
    command = ["git", "-C", str(ROOT), "diff", "--quiet", commit, "--", "tvm_bench", "setup.cfg"]
    status = subprocess.run(command).returncode
    if status > 1:
        raise click.BadParameter(f"git does not know the commit '{commit}'")
    return status == 1


def differs(network: Network, row: Row | None, folder: Path, minutes: float) -> bool:
    """Whether the network has no row, or a library that is not the one of its row. It is built to find out."""
    if row is None:
        return True
    run(["build", *network.options, *SUBJECT], folder, minutes)
    built = {path.parent.name: sha256(path) for path in folder.glob("*/*/lib.so")}
    return built != {label: cell.library for label, cell in row.cells.items() if cell.library}


def run(arguments: list[str], folder: Path, minutes: float) -> str:
    """The output of a `tvm-bench` command, which is stopped with its jobs after `minutes`."""
    command = [sys.executable, "-m", "tvm_bench", *arguments, "--artifacts", str(folder)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    process = subprocess.Popen(command, cwd=ROOT, **options)
    try:
        return process.communicate(timeout=60 * minutes)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()
        return f"it took more than {minutes:g} minutes"


def last_line(output: str) -> str:
    return (output.strip().splitlines() or ["no output"])[-1]


if __name__ == "__main__":
    main()
