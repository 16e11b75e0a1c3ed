"""Relay dumps: what is written of a real build, and what `tvm-bench inspect` shows of it."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from tvm_bench.cli import main
from tvm_bench.relay_view import dumps
from tvm_bench.spec.errors import UserError

SIZE, CHANNELS = 16, 8
CONV_FLOPS = 2 * CHANNELS * SIZE * SIZE * CHANNELS * 3 * 3
DENSE_FLOPS = 2 * CHANNELS * 10


def tiny_module():
    """Convolution, bias, ReLU, pooling and a dense layer."""
    from tvm import IRModule, relay

    def weight(*shape):
        return relay.const(np.full(shape, 0.1, "float32"))

    x = relay.var("input", shape=(1, CHANNELS, SIZE, SIZE))
    conv = {"padding": (1, 1), "channels": CHANNELS, "kernel_size": (3, 3)}
    y = relay.nn.conv2d(x, weight(CHANNELS, CHANNELS, 3, 3), **conv)
    y = relay.nn.relu(relay.nn.bias_add(y, weight(CHANNELS)))
    y = relay.nn.batch_flatten(relay.nn.global_avg_pool2d(y))
    return IRModule.from_expr(relay.Function([x], relay.nn.dense(y, weight(10, CHANNELS))))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TVM_NUM_THREADS", "2")
        import tvm
        from tvm import relay

        from tvm_bench.backends.relay import ir_dump

        folder = tmp_path_factory.mktemp("artifact")
        module = tiny_module()
        ir_dump.write_stage(folder / "relay", 1, "imported", module)
        ir_dump.write_stage(folder / "relay", 2, "an-earlier-build", module)
        target = tvm.target.Target(f"llvm -mcpu={tvm.target.codegen.llvm_get_system_cpu()} -num-cores=2")
        with tvm.transform.PassContext(opt_level=3):
            module, _ = relay.optimize(module, target)
        ir_dump.write_stage(folder / "relay", 2, "optimized-and-fused", module)
    return folder


def shown(artifact, **asked):
    console = Console(file=io.StringIO(), width=200)
    dumps.show(artifact, **{"groups": False, "diff": None, "stage": None, **asked}, console=console)
    return console.file.getvalue()


def test_calls_are_counted_and_types_kept(artifact):
    imported, fused = dumps.stages(artifact)
    names = ("nn.conv2d", "nn.bias_add", "nn.relu", "nn.global_avg_pool2d", "nn.batch_flatten", "nn.dense")
    assert imported.calls == dict.fromkeys(names, 1)
    assert imported.dtypes == fused.dtypes == {"float32 x float32": 2}
    assert not imported.groups
    assert fused.calls["nn.relu"] == 1, "calls inside fused functions count"
    assert fused.layout_transforms == fused.calls["layout_transform"] > 0
    assert not fused.casts


def test_convolution_bias_and_relu_are_one_group(artifact):
    groups = dumps.stages(artifact)[-1].groups
    assert [group["index"] for group in groups] == list(range(1, len(groups) + 1))
    (conv,) = [group for group in groups if "conv2d" in group["anchor"]]
    assert conv["operators"] == ["contrib_conv2d_NCHWc", "add", "relu"]
    assert conv["flops"] == CONV_FLOPS
    assert len(conv["inputs"]) == 3
    assert all(kind.startswith("float32(") for kind in [*conv["inputs"], conv["output"]])
    (dense,) = [group for group in groups if "dense" in group["anchor"]]
    assert dense["flops"] == DENSE_FLOPS
    assert dense["output"] == "float32(1, 10)"
    assert groups.index(conv) < groups.index(dense)


def test_texts_are_free_of_noise(artifact):
    for path in (artifact / "relay").glob("*.txt"):
        text = path.read_text()
        assert text.startswith("def @main(%input: Tensor[(1, 8, 16, 16), float32]")
        assert "ty=Tensor[(1, 10), float32]" in text
        for noise in ("virtual_device", "VirtualDevice", "span=", "hash=", "#[version", "type List", "metadata", "{}"):
            assert noise not in text, f"{noise} in {path.name}"


def test_integer_types_and_grouped_convolutions(tmp_path):
    from tvm import IRModule, relay

    from tvm_bench.backends.relay import ir_dump

    x = relay.var("input", shape=(1, CHANNELS, SIZE, SIZE), dtype="uint8")
    w = relay.var("w", shape=(CHANNELS, 1, 3, 3), dtype="int8")
    depthwise = relay.nn.conv2d(x, w, padding=(1, 1), groups=CHANNELS, kernel_size=(3, 3), out_dtype="int32")
    module = IRModule.from_expr(relay.Function([x, w], relay.cast(depthwise, "float32")))
    module = relay.transform.FuseOps(4)(relay.transform.InferType()(module))
    entry = json.loads(ir_dump.write_stage(tmp_path, 1, "fused", module).with_suffix(".json").read_text())
    assert entry["dtypes"] == {"uint8 x int8": 1}
    assert entry["casts"] == 1
    assert [group["flops"] for group in entry["groups"]] == [2 * CHANNELS * SIZE * SIZE * 3 * 3]


@pytest.mark.parametrize("weights", [(6, 6, CHANNELS, CHANNELS), (1, CHANNELS, 3, 3, CHANNELS)])
def test_winograd_counts_as_the_convolution_it_stands_for(weights, tmp_path):
    from tvm import IRModule, relay

    from tvm_bench.backends.relay import ir_dump

    x = relay.var("input", shape=(1, CHANNELS, SIZE, SIZE))
    w = relay.var("w", shape=weights)
    conv = {"tile_size": 4, "padding": (1, 1), "channels": CHANNELS, "kernel_size": (3, 3)}
    winograd = relay.nn.contrib_conv2d_winograd_without_weight_transform(x, w, **conv)
    module = relay.transform.InferType()(IRModule.from_expr(relay.Function([x, w], winograd)))
    ir_dump.write_stage(tmp_path / "relay", 1, "fused", relay.transform.FuseOps(4)(module))
    assert [group["flops"] for group in dumps.stages(tmp_path)[0].groups] == [CONV_FLOPS]


def test_an_earlier_build_leaves_no_stage(artifact):
    assert [stage.label for stage in dumps.stages(artifact)] == ["1-imported", "2-optimized-and-fused"]
    assert len(list((artifact / "relay").iterdir())) == 4


def test_what_is_shown(artifact):
    tables = shown(artifact)
    assert "2-optimized-and-fused" in tables
    assert "nn.global_avg_pool2d" in tables
    assert "contrib_conv2d_NCHWc <- add, relu" in shown(artifact, groups=True)
    assert shown(artifact, stage="imp") == (artifact / "relay" / "1-imported.txt").read_text()


def test_the_tables_as_json(artifact):
    def run(*arguments):
        return CliRunner().invoke(main, ["inspect", str(artifact), "--json", *arguments])

    first, last = json.loads(run().stdout)
    assert (first["name"], last["name"]) == ("imported", "optimized-and-fused") and first["calls"]["nn.conv2d"] == 1
    groups = json.loads(run("--groups").stdout)
    assert groups == last["groups"] and max(group["flops"] for group in groups) == CONV_FLOPS
    refused = run("--stage", "1")
    assert refused.exit_code == 2 and "--json is for the tables" in refused.output


def test_diff_shows_the_change(artifact):
    lines = shown(artifact, diff=("1", "optimized")).splitlines()
    assert "-1   nn.conv2d (1 -> 0)" in lines
    assert "+1   nn.contrib_conv2d_NCHWc (0 -> 1)" in lines
    assert any(line.startswith("-  %0 = nn.conv2d(") for line in lines)
    assert any(line.startswith("+") and "nn.contrib_conv2d_NCHWc(" in line for line in lines)


def test_diff_ignores_numbering(tmp_path):
    entry = {"calls": {}, "casts": 0, "layout_transforms": 0, "dtypes": {}, "groups": []}
    (tmp_path / "relay").mkdir()
    for name, text in {
        "1-a": "  %0 = f(%x);\n  %1 = g(%0);\n",
        "2-b": "  %0 = e(%x);\n  %1 = f(%x);\n  %2 = g(%1);\n",
    }.items():
        (tmp_path / "relay" / f"{name}.json").write_text(json.dumps(entry))
        (tmp_path / "relay" / f"{name}.txt").write_text(text)
    lines = shown(tmp_path, diff=("a", "b")).splitlines()
    assert [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")][1:] == ["+  %0 = e(%x);"]
    assert "the texts are the same" in shown(tmp_path, diff=("a", "a"))


@pytest.mark.parametrize("wrong", ["nope", "7", ""])
def test_a_wrong_stage_names_those_that_exist(artifact, wrong):
    with pytest.raises(UserError, match="1 imported, 2 optimized-and-fused"):
        shown(artifact, stage=wrong)


def test_no_dumps(tmp_path):
    with pytest.raises(UserError, match="tvm-bench build"):
        shown(tmp_path)
    (tmp_path / "relay").mkdir()
    (tmp_path / "relay" / "1-imported.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        shown(tmp_path)


def test_the_parent_side_stays_light():
    code = "import sys, tvm_bench.relay_view.dumps; sys.exit(bool({'tvm', 'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
