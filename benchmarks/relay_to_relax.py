"""What is Relay's in Relax? Writes docs/explanation/relay-to-relax.md: the names in both, and a race of both.

python benchmarks/relay_to_relax.py [NAME ...]

NAME is a network of torchvision; without one, those that the page lacks. Every name is looked up in the installed
package, so that a name that is gone stops the script. Needs `make relax`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import measured

from tvm_bench.analysis import results
from tvm_bench.analysis.statistics import mean_latency
from tvm_bench.host import environments

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "relay-to-relax.md"
RESULTS = measured.FOLDER / "relax.json"
NETWORKS = ("resnet18", "mobilenet_v2", "resnet50", "squeezenet1_1", "efficientnet_b0", "mobilenet_v3_small")
BACKENDS = ("relay", "relay-stock", "relax", "onnxruntime", "openvino")
NONE = "–"
# What it is, Relay's names, Relax's names, and what to know. Several names are separated by a comma.
PASSES = (
    ("types", "relay.transform.InferType", "relax.transform.Normalize", "types are known as soon as a call is made"),
    ("constants", "relay.transform.FoldConstant", "relax.transform.FoldConstant", "after `LegalizeOps` only"),
    (
        "fusion",
        "relay.transform.FuseOps",
        "relax.transform.AnnotateTIROpPattern, relax.transform.FuseOps, relax.transform.FuseTIR",
        "kernels are TensorIR before they are fused",
    ),
    (
        "batch norms",
        "relay.transform.SimplifyInference, relay.transform.FoldScaleAxis",
        "relax.transform.DecomposeOpsForInference, relax.transform.FoldBatchnormToConv2D",
        "other scales are not folded into weights",
    ),
    (
        "layouts",
        "relay.transform.ConvertLayout",
        "relax.transform.ConvertLayout",
        "kernels of blocked layouts are not there",
    ),
    (
        "blocked layouts",
        "relay.transform.AlterOpLayout",
        "",
        "the project's own pass `backends.relax.blocked` does it for convolutions",
    ),
    ("kernels of operators", "relay.op.strategy", "relax.transform.LegalizeOps", "one kernel for all targets, untuned"),
    ("common subexpressions", "relay.transform.EliminateCommonSubexpr", "relax.transform.EliminateCommonSubexpr", ""),
    (
        "parallel branches",
        "relay.transform.CombineParallelConv2D",
        "relax.transform.CombineParallelMatmul",
        "products of matrices only",
    ),
    ("dead code", "relay.transform.DeadCodeElimination", "relax.transform.DeadCodeElimination", ""),
    ("fast functions", "relay.transform.FastMath", "relax.transform.FastMathTransform", ""),
    ("half precision", "relay.transform.ToMixedPrecision", "relax.transform.ToMixedPrecision", ""),
    (
        "integers from QDQ",
        "relay.transform.FakeQuantizationToInteger, relay.qnn.op.conv2d",
        "",
        "`relax.op.quantize` and `relax.op.dequantize` stay, and what is between them is computed in floats; the "
        "project's own pass makes integer convolutions of it",
    ),
    (
        "other compilers (BYOC)",
        "relay.transform.MergeComposite, relay.transform.AnnotateTarget, relay.transform.PartitionGraph",
        "relax.transform.FuseOpsByPattern, relax.transform.MergeCompositeFunctions, relax.transform.RunCodegen",
        "",
    ),
    (
        "open sizes",
        "relay.transform.DynamicToStatic",
        "relax.transform.BindSymbolicVars",
        "sizes may be variables of the module",
    ),
)
CALLS = (
    (
        "ONNX files",
        "relay.frontend.from_onnx",
        "relax.frontend.onnx.from_onnx",
        "one module, without a second value for weights",
    ),
    (
        "PyTorch",
        "relay.frontend.from_pytorch",
        "relax.frontend.torch.from_exported_program",
        "a program of `torch.export`, no traced module; see [front ends](front-ends.md)",
    ),
    ("TFLite", "relay.frontend.from_tflite", "relax.frontend.tflite.from_tflite", ""),
    (
        "Keras, Caffe, PaddlePaddle",
        "relay.frontend.from_keras, relay.frontend.from_caffe, relay.frontend.from_paddle",
        "",
        "export ONNX",
    ),
    ("build", "relay.build", "relax.build", "the pipeline is a parameter"),
    (
        "run",
        "contrib.graph_executor.GraphModule",
        "relax.VirtualMachine",
        "no graph in JSON: the library has the program",
    ),
    ("run ahead of time", "relay.backend.Executor", "", "`relax.build(exec_mode='compiled')` is the nearest"),
    ("arrays", "nd.array", "runtime.tensor", ""),
    ("time", "contrib.graph_executor.GraphModule.benchmark", "relax.VirtualMachine.time_evaluator", ""),
    (
        "time of each kernel",
        "contrib.debugger.debug_executor.GraphModuleDebug",
        "relax.VirtualMachine.set_instrument",
        "a function before and after each call",
    ),
    (
        "dot products of integers",
        "topi.x86.conv2d_int8",
        "s_tir.tensor_intrin.x86",
        "the intrinsic for VNNI does not compile with the LLVM of this package; the project has its own",
    ),
    ("schedules by hand", "te.create_schedule", "s_tir.Schedule", "blocks and loops instead of stages"),
    ("tuning by templates", "autotvm.tuner.GridSearchTuner", "", ""),
    ("tuning without templates", "auto_scheduler.TaskScheduler", "", ""),
    (
        "MetaSchedule",
        "meta_schedule.relay_integration.tune_relay",
        "relax.transform.MetaScheduleTuneIRMod",
        "`relax.get_pipeline('static_shape_tuning')` does all of it",
    ),
    (
        "schedules without tuning",
        "topi.x86",
        "s_tir.dlight",
        "for GPUs; on a CPU, for products with vectors and sums only",
    ),
    ("RPC", "rpc.tracker, rpc.server", "rpc.tracker, rpc.server", ""),
    ("command line", "driver.tvmc", "", ""),
)
HEADER = ("What", "Relay, TVM 0.19", "Relax, TVM 0.27", "Note")
FOUND = ("network", "precision", "Relax", "right", *(f"{name}\nms" for name in BACKENDS), "Relax /\nRelay")
TEXT = """# From Relay to Relax

The package `apache-tvm` has Relax only, since version 0.20; Relay is in TVM up to 0.19. This page says what each part
of Relay is called in Relax, and what is missing. `python benchmarks/relay_to_relax.py` wrote it on {date}:
{cpu}, {threads} threads. It looks up every name in both installed packages.

What moving costs on a CPU:

- **Kernels.** Relay has schedules for x86 in each operator. Relax makes plain loops, and expects a tuner to schedule
  them. The backend `relax` brings schedules for convolutions and what stands between them.
- **INT8.** Relax computes QDQ files in floats: right, and about as fast as FP32. On a CPU with VNNI, the backend
  `relax` makes dot products of integers of their convolutions, except depthwise ones, and of their dense layers.
- **Tuning.** AutoTVM and AutoScheduler are gone. MetaSchedule is there, and `tune --backend relax` runs it for each
  kernel.

The tools are the same: `inspect`, `explain` and `inspect --profile` read the libraries of both, and
`diff --backend relax` finds a layer that is wrong. `compare` needs two libraries of one generation.

## Passes

{passes}

## Calls

{calls}

## Networks that ran in both

{found}

Random weights, 224 pixels, untuned. `relay-stock` is Relay with TVM's own schedules only. A dash: not raced, or not
built. *Right*: the check of answers of a race found nothing. Measured at these commits: {commits}.
"""


@click.command(help=__doc__)
@click.argument("networks", nargs=-1, metavar="[NAME ...]")
@click.option("--rounds", default=3, show_default=True)
def main(networks: tuple[str, ...], rounds: int) -> None:
    _look_up([sys.executable], [row[1] for row in (*PASSES, *CALLS)])
    _look_up([str(environments.python("relax"))], [row[2] for row in (*PASSES, *CALLS)])
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": {}, "commits": {}}
    known, commits = before["rows"], before["commits"]
    for name in networks or [name for name in NETWORKS if name not in known]:
        known[name] = _raced(name, rounds)
        about = measured.about()
        commits[name] = about["commit"]
        RESULTS.write_text(json.dumps({**about, "commits": commits, "rows": known}, indent=1) + "\n")
    PAGE.write_text(page(json.loads(RESULTS.read_text())))
    click.echo(str(PAGE))


LOOK_UP = """
import pydoc, sys
for name in sys.argv[1:]:
    try:
        assert pydoc.locate(f"tvm.{name}") is not None, name
    except pydoc.ErrorDuringImport as error:  # it is there, but needs another package
        assert isinstance(error.value, ImportError), name
"""


def _look_up(python: list[str], names: list[str]) -> None:
    """Look each name up below `tvm`. Raises `CalledProcessError` for one that is not there."""
    listed = [name.strip() for entry in names for name in entry.split(",") if name.strip()]
    subprocess.run([*python, "-W", "ignore", "-c", LOOK_UP, *listed], check=True)


def _raced(name: str, rounds: int) -> list[dict[str, Any]]:
    """The rows of a race, by precision and backend."""
    command = [sys.executable, "-m", "tvm_bench", "bench", name, "--weights", "random", "--data", "fashion-mnist"]
    command += ["--input-shape", "3,224,224", "--backends", ",".join(BACKENDS), "--precision", "fp32,int8"]
    command += ["--rounds", str(rounds), "--samples", "20", "--images", "64", "--calibration-images", "64", "--json"]
    path = Path("artifacts", f"{name}-random-3x224x224", "results.json")
    path.unlink(missing_ok=True)
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)  # it fails if a variant does
    kept = ("precision", "backend", "status", "error", "flagged")
    return [
        {key: getattr(row, key) for key in kept} | {"ms": mean_latency(row.rounds).value if row.rounds else None}
        for row in results.load(path).variants
        if row.backend in BACKENDS and not row.tuned
    ]


def page(results: dict[str, Any]) -> str:
    """The page for the races in the results."""
    passes, calls = (_names(rows) for rows in (PASSES, CALLS))
    found = [_line(name, precision, rows) for name, rows in results["rows"].items() for precision in ("fp32", "int8")]
    by_commit: dict[str, list[str]] = {}
    for name, commit in results["commits"].items():
        by_commit.setdefault(commit, []).append(name)
    commits = "; ".join(f"{commit} ({', '.join(names)})" for commit, names in by_commit.items())
    named = {name: results[name] for name in ("date", "cpu", "threads")}
    table = measured.lines_of(FOUND, found)
    return TEXT.format(passes=passes, calls=calls, found=table, commits=commits, **named)


def _names(rows: tuple[tuple[str, str, str, str], ...]) -> str:
    return measured.lines_of(HEADER, [[what, _code(relay), _code(relax), note] for what, relay, relax, note in rows])


def _code(names: str) -> str:
    return ", ".join(f"`{name.strip()}`" for name in names.split(",")) if names else "missing"


def _line(name: str, precision: str, rows: list[dict[str, Any]]) -> list[str]:
    by_backend = {row["backend"]: row for row in rows if row["precision"] == precision}
    relax = by_backend["relax"]
    times = [by_backend.get(backend, {}).get("ms") for backend in BACKENDS]
    ratio = times[2] / times[0] if times[2] and times[0] else None
    return [
        name,
        precision.upper(),
        relax["error"] or "runs",
        NONE if relax["status"] != "ok" else "no" if relax["flagged"] else "yes",
        *(f"{ms:.2f}" if ms else NONE for ms in times),
        f"{ratio:.2f}" if ratio else NONE,
    ]


if __name__ == "__main__":
    main()
