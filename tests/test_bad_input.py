"""Every fault a user can make: exit code 2, one line that says what to do, no traceback, nothing half-written."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file

from tests import tiny
from tests.conftest import TINY
from tvm_bench.cli import parsing
from tvm_bench.host import system_errors


def model(path, shape, operator="Relu", domain=""):
    nodes = [helper.make_node(operator, ["pictures"], ["logits"], domain=domain)]
    given = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, shape)
    made = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)]
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "g", [given], [made]), opset_imports=opsets, ir_version=8), path
    )
    return path


@pytest.fixture
def refused(cli, tmp_path):
    """Run a command that must fail as a user's error, and return what it said."""

    def run(*arguments, environment=None):
        artifacts = tmp_path / "artifacts"
        done = cli(*arguments, "--artifacts", artifacts, environment=environment)
        said = done.stdout + done.stderr
        assert done.returncode == 2, said
        assert "Traceback" not in said
        written = [path for path in artifacts.rglob("*") if path.suffix in (".so", ".onnx", ".pt", ".npy", ".png")]
        assert not written
        return " ".join(said.split())

    return run


def test_unknown_model_names_the_near_ones(refused):
    assert "Did you mean" in (said := refused("build", "--model", "resnet81")) and "resnet18" in said
    assert "No module named" in refused("build", "--model", "nowhere:model")
    assert "not a torch.nn.Module" in refused("build", "--model", "tests.tiny:not_a_module", "--precision", "fp32")


def test_two_models(refused):
    assert "two models are given: 'resnet50', and 'vgg11'" in refused("bench", "resnet50", "--model", "vgg11")
    assert "resnet81" in refused("diff", "resnet81")


def test_files_that_are_no_onnx(refused, tmp_path):
    (tmp_path / "text.onnx").write_text("this is not a model")
    assert "not a valid ONNX file" in refused("build", "--model", tmp_path / "text.onnx", "--precision", "fp32")
    whole = model(tmp_path / "whole.onnx", [1, 3, 8, 8]).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    assert "not a valid ONNX file" in refused("build", "--model", tmp_path / "cut.onnx", "--precision", "fp32")
    assert "no file" in refused("build", "--model", tmp_path / "none.onnx", "--precision", "fp32")


def test_open_sizes_are_named_with_the_flag(refused, tmp_path):
    path = model(tmp_path / "open.onnx", ["N", 3, "height", "width"])
    said = refused("build", "--model", path, "--precision", "fp32")
    assert "pictures" in said and "height" in said and "--input-shape" in said


def test_unsupported_operators_are_all_listed(refused, cli, tmp_path):
    path = model(tmp_path / "custom.onnx", [1, 3, 8, 8], "Mysterious", "custom")
    done = cli("build", "--model", path, "--precision", "fp32", "--artifacts", tmp_path / "a")
    assert done.returncode == 2 and "Mysterious" in done.stderr and "Traceback" not in done.stderr
    done = cli(
        "build", "--model", "tests.tiny:unsupported", "--precision", "fp32", "--frontend", "pytorch",
        "--artifacts", tmp_path / "b",
    )  # fmt: skip
    assert done.returncode == 2 and "det" in done.stderr and "--frontend" in done.stderr


def test_weights_that_are_damaged_or_do_not_fit(refused, tmp_path):
    options = ("--model", TINY, "--precision", "fp32", "--weights")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    assert "damaged" in refused("build", *options, tmp_path / "cut.safetensors")
    save_file({"head.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    assert "do not fit" in refused("build", *options, tmp_path / "other.safetensors")
    torch.save(tiny.cnn(), tmp_path / "pickled.pt")  # a whole module: opening it would run code
    assert "not a plain state dict" in refused("build", *options, tmp_path / "pickled.pt")
    (tmp_path / "empty.pt").write_bytes(b"\x80\x02.")  # a pickle that ends before it begins
    assert "not a plain state dict" in refused("build", *options, tmp_path / "empty.pt")
    assert "NaN" in refused("build", "--model", "tests.tiny:nan", "--precision", "fp32")
    assert "no weights at" in refused("build", *options, tmp_path / "none.pt")


def test_imagenet_weights_offline(refused):
    said = refused(
        "build", "--model", "resnet34", "--precision", "fp32", environment={"HTTPS_PROXY": "http://127.0.0.1:9"}
    )
    assert "could not be downloaded" in said and "--weights random" in said


def test_int8_without_calibration_data(refused):
    assert "needs real images" in refused("build", "--model", TINY, "--precision", "int8")


def test_bf16_is_neither_tuned_nor_compared_by_layers(refused):
    said = refused("tune", "--model", TINY, "--precision", "bf16")
    assert "auto cannot tune BF16" in said and "Give --precision fp32,int8." in said
    assert "cannot compare the layers of bf16" in refused("diff", "--model", TINY, "--precision", "fp32,bf16")


def test_a_model_that_cannot_be_quantized_by_tracing(cli, tmp_path):
    done = cli(
        "build", "--model", "tests.tiny:untraceable", "--data", "fashion-mnist", "--precision", "int8",
        "--artifacts", tmp_path,
    )  # fmt: skip
    assert done.returncode == 2 and "cannot be quantized" in done.stderr and "--frontend onnx" in done.stderr


def test_wrong_sizes_and_threads(refused):
    assert "channels,height,width" in refused("build", "--input-shape", "224")
    assert "does not run on an input of shape" in refused(
        "build", "--model", TINY, "--precision", "fp32", "--input-shape", "5,32,32"
    )
    assert "cores" in refused("build", "--threads", "4096")
    assert "Did you mean int8" in refused("build", "--precision", "int-8")
    assert "Did you mean relay" in refused("bench", "--backends", "relai")


def test_targets(refused, cli, tmp_path):
    for target in ("llvm -mcpu=commodore64", "llvm", "nonsense", "cuda"):
        done = cli(
            "build", "--model", TINY, "--precision", "fp32", "--target", target, "--artifacts", tmp_path / "artifacts"
        )
        assert done.returncode == 2 and "target" in done.stderr and "-mcpu=" in done.stderr, done.stderr


def test_data_that_is_not_there_or_has_no_labels(refused, tmp_path):
    assert "Did you mean fashion-mnist" in refused("build", "--data", "fashion-mist")
    assert "not a folder" in refused("build", "--model", TINY, "--data", f"imagefolder:{tmp_path}/none")
    (tmp_path / "flat").mkdir()
    assert "no test images" in refused("build", "--model", TINY, "--data", f"imagefolder:{tmp_path}/flat")


def test_pictures_and_artifacts_that_are_none(cli, built, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    done = cli("run", built / "fp32-relay-onnx", tmp_path / "text.png")
    assert done.returncode == 2 and "cannot be read as an image" in done.stderr
    done = cli("run", built / "fp32-relay-onnx", tmp_path / "none.png")
    assert done.returncode == 2 and "no image at" in done.stderr
    for command in (("run", tmp_path, tmp_path / "text.png"), ("inspect", tmp_path)):
        done = cli(*command)
        assert done.returncode == 2 and "tvm-bench build" in done.stderr and "Traceback" not in done.stderr
    done = cli("report", tmp_path)
    assert done.returncode == 2 and "tvm-bench bench" in done.stderr


def test_artifacts_that_cannot_be_written(cli, tmp_path):
    (tmp_path / "file").write_text("")
    done = cli("build", "--model", TINY, "--precision", "fp32", "--artifacts", tmp_path / "file")
    assert done.returncode == 2 and "cannot write" in done.stderr and "Traceback" not in done.stderr


@contextmanager
def nobody():
    """As a user for whom permissions count, which they do not for root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_reading_is_told_from_writing():
    with TemporaryDirectory() as folder:
        secret = Path(folder, "secret.onnx")
        secret.write_text("")
        secret.chmod(0)
        os.chmod(folder, 0o555)
        with nobody():
            said = []
            for attempt in (secret.read_bytes, Path(folder, "new.so").touch):
                with pytest.raises(PermissionError) as caught:
                    attempt()
                said.append(system_errors.explained(caught.value))
    assert said[0].startswith(f"cannot read '{secret}'") and "--artifacts" not in said[0]
    assert said[1].startswith("cannot write") and "--artifacts folder that you may write to" in said[1]
    assert system_errors.explained(FileNotFoundError(2, "No such file", "x")) is None


@pytest.mark.parametrize("options", [("--batch-size", "²"), ("--input-shape", "3,²,224"), ("--threads", "²")])
def test_digits_that_are_no_numbers(refused, options):
    assert "²" in refused("build", *options)


def test_trackers():
    assert parsing.tracker(None, None, "[::1]:9190") == ("::1", 9190)
    assert parsing.tracker(None, None, "127.0.0.1:9190") == ("127.0.0.1", 9190)
    for text in ("127.0.0.1", ":9190", "host:²"):
        with pytest.raises(click.BadParameter, match="HOST:PORT"):
            parsing.tracker(None, None, text)


def test_no_compiler(cli, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "true").symlink_to(shutil.which("true"))
    done = cli(
        "build", "--model", TINY, "--precision", "fp32", "--artifacts", tmp_path / "a", environment={"PATH": str(tools)}
    )
    assert done.returncode == 2 and "apt-get install g++" in done.stderr


def test_a_full_disk(cli, tmp_path):
    """On a real file system of 1 MB, where mounting one is allowed."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        done = cli(
            "build", "--model", "mobilenet_v2", "--weights", "random", "--precision", "fp32", "--artifacts", small
        )
        assert done.returncode == 2, done.stderr
        assert "full" in done.stderr or "No space left" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list(small.rglob("*.pt"))
    finally:
        subprocess.run(["umount", small], check=True)
