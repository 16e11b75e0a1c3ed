"""An A/A test: how often does a race of ONNX Runtime against itself, under a second name, find a winner?

python benchmarks/a_a.py [--races 20] [--precision int8]

Run it from the repository's root, on a quiet machine. Exits with 1 if fewer than 19 of 20 races end in a tie.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tvm_bench.analysis.statistics import DECISION, ratio
from tvm_bench.analysis.verdict import competitors, judge
from tvm_bench.host import cpu
from tvm_bench.pipeline import race
from tvm_bench.spec.constraints import Constraints
from tvm_bench.spec.variant import ModelSpec, RunSpec

TWICE = ("onnxruntime", "tests.cheats.honest")


@click.command(help=__doc__)
@click.option("--races", type=int, default=20, show_default=True)
@click.option("--precision", default="int8", show_default=True)
@click.option("--threads", type=int, default=cpu.cores(), show_default=True)
@click.option("--artifacts", type=click.Path(path_type=Path), default=Path("artifacts"), show_default=True)
def main(races: int, precision: str, threads: int, artifacts: Path) -> None:
    model_spec = ModelSpec("resnet18", data="fashion-mnist")
    run_spec = RunSpec(model_spec, (precision,), (), None, (1,), (threads,), artifacts)
    ties = 0
    for number in range(1, races + 1):
        results, _ = race.run(run_spec, TWICE, race.Rules(images=100), " ".join(sys.argv), Constraints())
        one, other = competitors(results)
        estimate, tie = ratio(one.rounds, other.rounds, DECISION), judge(results).winner is None
        ties += tie
        click.echo(
            f"{number}: {estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}] {'tie' if tie else 'no tie'}"
        )
    click.echo(f"{ties} ties in {races} races")
    sys.exit(ties < 0.95 * races)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))  # for the second name
    main()
