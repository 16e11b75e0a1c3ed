"""The backends on a GPU, as far as a CPU can tell: reasons to skip, files, clocks, and the code that both share."""

import subprocess
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests import tiny
from tests.conftest import ROOT
from tests.runs import a_row, a_run, constant
from tvm_bench import backends as runtimes
from tvm_bench.backends import _gpu, onnxruntime_cuda
from tvm_bench.backends.onnxruntime import session_options
from tvm_bench.exporters import onnx_file, onnx_halves, qdq
from tvm_bench.host import deployment_size, environments, machine, packages
from tvm_bench.jobs.verbs import prepare
from tvm_bench.report import summary_text, tables
from tvm_bench.spec import backends
from tvm_bench.spec.errors import Unavailable, UserError
from tvm_bench.spec.recipe import Quantize
from tvm_bench.spec.tensors import image_input
from tvm_bench.training import loop
from tvm_bench.training.device import Device

IMAGES = np.random.default_rng(0).standard_normal((12, 1, 3, 32, 32)).astype(np.float32)
WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return tiny.cnn().eval()


@pytest.fixture(scope="module")
def source(module, tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "fp32.onnx"
    onnx_file.save_from_module(module, path, [image_input((3, 32, 32))])
    return path


def answers(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {session.get_inputs()[0].name: image})[0] for image in IMAGES])


def distance(path, source):
    """The error of all answers as a share of what they vary by."""
    right = answers(source)
    return np.linalg.norm(answers(path) - right) / np.linalg.norm(right - right.mean(axis=0))


# Reasons to skip.


@WITHOUT_GPU
@pytest.mark.parametrize("name", backends.ON_GPU)
def test_without_a_gpu_a_backend_says_so(name, tmp_path):
    with pytest.raises(Unavailable, match=r"needs (an NVIDIA GPU|a CUDA build of torch)"):
        runtimes.load(name, tmp_path / "model", threads=1)


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("inductor-cuda", "triton: not installed. Install it: a CUDA build of torch"),
        ("onnxruntime-cuda", "onnxruntime-gpu: not installed. Install it: pip uninstall onnxruntime, then"),
        ("tensorrt", "tensorrt: not installed. Install it: pip install tensorrt"),
    ],
)
def test_a_package_of_a_gpu_backend_has_its_cure(name, cure):
    needed = backends.named(name).packages
    if all(map(packages.version, needed)):
        pytest.skip("installed here")
    with pytest.raises(Unavailable, match=cure):
        packages.need(needed)


@pytest.mark.parametrize(
    ("text", "cuda"),
    [
        ("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n", None),
        ("__all__ = ['cuda']\n__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\nhip = None\n", "13.0"),
        ('cuda = "12.6"\n', "12.6"),
        ("hip: Optional[str] = '6.4'\n", None),
    ],
)
def test_the_cuda_of_a_build_of_torch(text, cuda):
    assert packages.cuda_of(text) == cuda


def test_the_cuda_of_the_installed_torch():
    assert packages.cuda_of((packages.folder("torch") / "version.py").read_text()) == torch.version.cuda


def test_onnxruntime_without_cuda_is_refused(source):
    if onnxruntime_cuda.PROVIDER in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(UserError, match=r"no CUDAExecutionProvider here, only .*CPU.*pip install onnxruntime-gpu"):
        onnxruntime_cuda.load(source, threads=1)
    onnxruntime_cuda.need_provider(("CUDAExecutionProvider", "CPUExecutionProvider"))


def test_the_runtime_of_a_gpu_backend_is_its_own_package():
    assert deployment_size.RUNTIMES["onnxruntime-cuda"][0] in backends.named("onnxruntime-cuda").packages
    if not packages.version("onnxruntime-gpu"):
        assert deployment_size.runtime_mb("onnxruntime-cuda") is None


GPU_TARGETS = ("cuda", "cuda -arch=sm_80", "nvidia/nvidia-h100", "opencl", '{"kind": "cuda"}')


@pytest.mark.parametrize("target", GPU_TARGETS)
def test_a_gpu_is_no_target(target):
    with pytest.raises(UserError, match=r"CPUs only. The installed wheel.*--backends eager-cuda,.*--target 'llvm x'"):
        backends.need_cpu(target, cuda=False, example="llvm x")
    with pytest.raises(UserError, match=r"CPUs only. For a GPU"):
        backends.need_cpu(target, cuda=True, example="llvm x")


def test_a_cpu_is_a_target():
    for target in ("llvm -mcpu=znver4", "", "llvm -mattr=+cuda"):
        backends.need_cpu(target, cuda=False, example="")


def test_neither_tvm_can_run_cuda():
    from tvm_bench.backends.relay import target

    with pytest.raises(UserError, match="has no CUDA runtime"):
        target.resolve("cuda", 1)
    try:
        python = environments.python("relax")
    except Unavailable as error:
        pytest.skip(str(error))
    code = "from tvm_bench.backends.relax import target; target.resolve('cuda', 1)"
    done = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "UserError: target 'cuda': libraries are compiled for CPUs only" in done.stderr
    assert "has no CUDA runtime" in done.stderr


def test_gpus_of_the_machine(tmp_path):
    assert machine.gpus(tmp_path) == {}
    for bus, name in (("0000:01:00.0", "NVIDIA H100 80GB HBM3"), ("0000:02:00.0", "NVIDIA L4")):
        (tmp_path / "gpus" / bus).mkdir(parents=True)
        (tmp_path / "gpus" / bus / "information").write_text(f"Model: \t\t {name}\nIRQ:   \t\t 33\nGPU UUID: ?\n")
    found = {"gpus": ["NVIDIA H100 80GB HBM3", "NVIDIA L4"]}
    assert machine.gpus(tmp_path) == {**found, "gpu_driver": None}
    for kind in ("Kernel Module", "Open Kernel Module for x86_64"):
        (tmp_path / "version").write_text(
            f"NVRM version: NVIDIA UNIX {kind}  550.54.14  Release Build (a@b)\nGCC: 12.3.0\n"
        )
        assert machine.gpus(tmp_path) == {**found, "gpu_driver": "550.54.14"}


# The code that both devices share.


class Moment:
    """An event of a CPU: what it computes has ended when the call returns."""

    made: list["Moment"] = []

    def __init__(self):
        self.at, self.waited = None, False
        self.made.append(self)

    def record(self):
        self.at = time.perf_counter()

    def synchronize(self):
        self.waited = True

    def elapsed_time(self, end):
        assert end.waited, "read before the device has reached it"
        return 1e3 * (end.at - self.at)


def test_events_enclose_each_run():
    Moment.made, calls = [], []

    def run():
        calls.append(time.perf_counter())
        time.sleep(0.001)

    times = _gpu.events_ms(run, 5, Moment)
    assert len(times) == 5 and len(calls) == 6, "one call before them"
    pairs = list(zip(Moment.made[::2], Moment.made[1::2], strict=True))
    assert all(begin.at <= call <= end.at for call, (begin, end) in zip(calls, pairs, strict=True))
    assert times == [1e3 * (end.at - begin.at) for begin, end in pairs[1:]]
    assert min(times) >= 1, "what ran took this long at least"


def test_a_module_on_a_device(module):
    on_cpu = _gpu.OnDevice(_gpu.moved(tiny.cnn().eval(), "cpu"), "cpu")
    on_cpu.module.load_state_dict(module.state_dict())
    (answer,) = on_cpu((IMAGES[0],))
    with torch.inference_mode():
        np.testing.assert_allclose(answer, module(torch.from_numpy(IMAGES[0])), rtol=1e-5, atol=1e-5)
    assert on_cpu.inputs[0].is_contiguous(memory_format=torch.channels_last)
    assert all(
        weight.is_contiguous(memory_format=torch.channels_last)
        for weight in on_cpu.module.parameters()
        if weight.ndim == 4
    )


def test_a_bound_session_answers_as_a_call(source):
    session = onnxruntime.InferenceSession(source, session_options(1), providers=["CPUExecutionProvider"])
    infer = onnxruntime_cuda.OnDevice(session)
    (first,), (second,) = infer((IMAGES[0],)), infer((IMAGES[1],))
    binding = infer.bound("cpu")
    session.run_with_iobinding(binding)
    (answer,) = binding.copy_outputs_to_cpu()
    np.testing.assert_array_equal(answer, second)
    assert np.abs(first - second).max() > 0


# Files.


def test_int8_for_tensorrt_has_no_zero_points_and_no_integer_biases(source, tmp_path):
    qdq.quantize(source, tmp_path / "int8.onnx", [(image,) for image in IMAGES], vnni=True, tensorrt=True)
    graph = onnx.load(tmp_path / "int8.onnx").graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert {array.dtype for array in values.values()} == {np.dtype("float32"), np.dtype("int8")}
    made = {name: node for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert not values[node.input[2]].any()
    for node in convolutions:
        assert [made[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
        assert node.input[2] in values, "a bias in FP32"
        weights = made[made[node.input[1]].input[0]]
        assert len(values[weights.input[1]]) == len(values[weights.input[0]]), "a scale for each channel"
    assert convolutions
    assert 0 < distance(tmp_path / "int8.onnx", source) < 0.25


def test_what_is_excluded_from_int8_for_tensorrt(source, tmp_path):
    qdq.quantize(
        source, tmp_path / "int8.onnx", [(IMAGES[0],)], vnni=True, tensorrt=True, excluded=["Conv", "Add", "Gemm"]
    )
    nodes = onnx.load(tmp_path / "int8.onnx").graph.node
    assert [node.op_type for node in nodes if "Linear" in node.op_type] == ["QuantizeLinear", "DequantizeLinear"]


@pytest.mark.parametrize(
    "quantization",
    [Quantize("int8", aware=True), Quantize("int8", pt2e=True), Quantize("int8", excluded=("bf16:/stem/Conv",))],
)
def test_recipes_that_tensorrt_does_not_take(quantization):
    with pytest.raises(UserError, match="TensorRT's INT8 is calibrated after training.*give other --backends"):
        prepare.write_tensorrt(SimpleNamespace(quantization=quantization))


def test_halves(source, tmp_path):
    onnx_halves.convert(source, tmp_path / "fp16.onnx")
    model = onnx.load(tmp_path / "fp16.onnx")
    onnx.checker.check_model(model)
    assert {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims)} == {onnx.TensorProto.FLOAT16}
    ends = (*model.graph.input, *model.graph.output)
    assert {end.type.tensor_type.elem_type for end in ends} == {onnx.TensorProto.FLOAT}
    assert 0 < distance(tmp_path / "fp16.onnx", source) < 0.01
    assert (tmp_path / "fp16.onnx").stat().st_size < source.stat().st_size


# The report.


def test_the_report_names_the_clocks_that_ran():
    relay = a_row("fp32-relay", constant(8.0), time_evaluator_ms=[[7.5]])
    plain = a_row("fp32-eager", constant(20.0))
    gpu = replace(a_row("fp32-relay", constant(2.0), time_evaluator_ms=[[1.5]]), backend="eager-cuda")
    for rows, clocks in (
        ((plain,), ["time_evaluator"]),
        ((plain, relay), ["time_evaluator"]),
        ((plain, gpu), ["CUDA events"]),
        ((relay, gpu), ["time_evaluator", "CUDA events"]),
    ):
        said = "\n".join(summary_text.includes(a_run(*rows)))
        header = " ".join(tables.tables(a_run(*rows))[0].header)
        for name in ("time_evaluator", "CUDA events"):
            assert (f"{name}: " in said) == (name in header) == (name in clocks)
        assert ("from main memory to the GPU" in said) == (gpu in rows)


# Mixed precision: the same code as on a GPU, whose FP16 a CPU computes too.


def steps(loss, count=1):
    """A model after steps in FP16 with a scaler of gradients; the scaler, and the types that the loss saw."""
    torch.manual_seed(0)
    model, place, seen = tiny.grouped(), Device(torch.device("cpu"), torch.float16), []
    optimizer = torch.optim.SGD(model.parameters(), 0.02)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=True)

    def watched(model, images, labels):
        seen.append(model.stem[0](images).dtype)
        return loss(model, images, labels)

    images, labels = torch.rand(8, 3, 32, 32), torch.arange(8) % 2
    before = [weight.detach().clone() for weight in model.parameters()]
    values = [loop._step(model, optimizer, scaler, watched, images, labels, place) for _ in range(count)]
    moved = [not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True)]
    return values, moved, scaler, seen


def test_a_step_in_fp16_learns():
    values, moved, scaler, seen = steps(loop.cross_entropy, 10)
    assert values[-1] < values[0] and all(moved)
    assert set(seen) == {torch.float16} and scaler.get_scale() == 2.0**10


def test_a_step_whose_gradients_overflow_changes_no_weight_and_scales_less():
    values, moved, scaler, _ = steps(lambda *given: 1e36 * loop.cross_entropy(*given))
    assert np.isfinite(values[0]) and not any(moved)
    assert scaler.get_scale() == 2.0**9
