"""The picture of the fused groups: which group reads the output of which, and lines that do not run into each other."""

import itertools
import json

import pytest
from click.testing import CliRunner

from tvm_bench.cli import main
from tvm_bench.report.plots import fusion
from tvm_bench.spec.errors import UserError

SOURCES = (["image"], [1], [2, 1], [3, 1], [4, 3], [5, "mask"], [6, 5, 1])


def group(index, sources):
    kind = "uint8" if index % 2 else "float32"
    operators = ["cast", "conv2d", "add", "cast"]
    shape = f"{kind}(1, 8, 16, 16)"
    return {"index": index, "anchor": "conv2d", "operators": operators, "sources": sources, "output": shape}


def groups():
    return [group(index, sources) for index, sources in enumerate(SOURCES, 1)]


def test_a_group_knows_what_it_reads(tmp_path):
    from tvm import IRModule, relay

    from tvm_bench.backends.relay import ir_dump

    x, y = relay.var("x", shape=(1, 8, 4, 4)), relay.var("y", shape=(1, 8, 4, 4))
    first = relay.nn.max_pool2d(x)
    left, right = relay.split(relay.nn.max_pool2d(first), 2, axis=1)
    joined = relay.concatenate([right, first, y], axis=1)
    out = relay.nn.max_pool2d(joined)
    module = relay.transform.FuseOps(0)(relay.transform.InferType()(IRModule.from_expr(relay.Function([x, y], out))))
    found = json.loads(ir_dump.write_stage(tmp_path, 1, "fused", module).with_suffix(".json").read_text())["groups"]
    assert [(group["anchor"], group["sources"]) for group in found] == [
        ("max_pool2d", ["x"]),
        ("max_pool2d", [1]),
        ("split", [2]),
        ("concatenate", [3, 1, "y"]),
        ("max_pool2d", [4]),
    ]


def test_each_output_has_its_own_way():
    (axes,) = fusion.draw(groups(), "model").axes
    passing = [line for line in axes.lines if len(line.get_xdata()) == 3]
    edges = sum(len(sources) for sources in SOURCES)
    straight = 6  # from each group to the next; from "image" to group 1 the line passes "mask"
    assert len(axes.lines) == edges and len(passing) == edges - straight
    for a, b in itertools.combinations(passing, 2):
        (start_a, *_, end_a), (start_b, *_, end_b) = a.get_ydata(), b.get_ydata()
        if a.get_xdata()[1] == b.get_xdata()[1] and start_a != start_b:
            assert end_a <= start_b or end_b <= start_a, "two outputs on one line"


def test_it_is_drawn_by_the_command(tmp_path):
    folder = tmp_path / "artifact" / "relay"
    folder.mkdir(parents=True)
    entry = {"calls": {}, "casts": 0, "layout_transforms": 0, "dtypes": {}, "groups": groups()}
    (folder / "4-optimized-and-fused.json").write_text(json.dumps(entry))
    (folder / "4-optimized-and-fused.txt").write_text("fn\n")
    plot = tmp_path / "fusion.svg"
    done = CliRunner().invoke(main, ["inspect", str(folder.parent), "--plot", str(plot)], catch_exceptions=False)
    assert not done.exit_code and plot.read_text().rstrip().endswith("</svg>")


def test_the_dumps_of_an_earlier_version_are_refused():
    old = group(1, [])
    del old["sources"]
    with pytest.raises(UserError, match="build it again"):
        fusion.draw([old], "model")
