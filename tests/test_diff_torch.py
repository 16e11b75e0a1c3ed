"""`diff` by the PyTorch front end: traced modules, FP32 and quantized, are cut between their layers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao.nn import quantized

from tvm_bench.backends.relay import target, torch_quantized
from tvm_bench.exporters import torchscript
from tvm_bench.layer_diff.builds import Relay
from tvm_bench.layer_diff.comparison import compared
from tvm_bench.layer_diff.faulty_layers import IMPORT, faults
from tvm_bench.layer_diff.severed_torch import TorchSource
from tvm_bench.report import layer_errors as report
from tvm_bench.spec.tensors import image_input

SHAPE = (4, 6, 6)
INPUTS = [image_input(SHAPE)]
WIDE = 104  # channels: PyTorch has other kernels for few


class Float(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(4, 8, 3, bias=False), nn.BatchNorm2d(8)

    def forward(self, images):
        values = torch.relu_(self.norm(self.convolution(images)))
        return torch.cat([values, values * 2], 1).mean((2, 3))


class Quantized(nn.Module):
    """ReLU6 of quantized values, which TVM alone converts wrongly."""

    def forward(self, images):
        values = nn.functional.hardtanh(torch.quantize_per_tensor(images, 0.05, 60, torch.quint8), 0.0, 6.0)
        return torch.ops.quantized.add(values, values, 0.1, 30).dequantize()


class Biased(nn.Module):
    """A quantized constant, such as the bias table of an attention, and a layer norm of quantized values."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, *SHAPE))

    def forward(self, images):
        values = torch.quantize_per_tensor(images, 0.0471, 60, torch.quint8)
        table = torch.quantize_per_tensor(self.table, 0.0213, 128, torch.quint8)
        values = torch.ops.quantized.add(values, table, 0.1, 30)
        ones, zeros = torch.ones(6), torch.zeros(6)
        return torch.ops.quantized.layer_norm(values, [6], ones, zeros, 1e-5, 0.02, 128).dequantize()


class Depthwise(nn.Module):
    """A depthwise convolution whose sums of two products need 17 bits for bright images, and 16 for dark ones."""

    def __init__(self):
        super().__init__()
        self.convolution = quantized.Conv2d(WIDE, WIDE, 3, padding=1, groups=WIDE)
        weight = torch._make_per_tensor_quantized_tensor(torch.full((WIDE, 1, 3, 3), 100, dtype=torch.int8), 0.01, 0)
        self.convolution.set_weight_bias(weight, torch.linspace(-1, 1, WIDE))
        self.convolution.scale, self.convolution.zero_point = 0.2, 3

    def forward(self, images):
        return self.convolution(torch.quantize_per_tensor(images, 0.02, 9, torch.quint8)).dequantize()


@pytest.mark.parametrize(("brightness", "saturates"), [(0.5, False), (5.0, True)], ids=["dark", "bright"])
def test_a_kernel_of_pytorch_that_saturates_is_no_fault_of_the_library(brightness, saturates, tmp_path):
    inputs = [image_input((WIDE, 6, 6))]
    torchscript.save_traced(Depthwise().eval(), tmp_path / "module.pt", inputs)
    source = TorchSource.of(tmp_path / "module.pt", inputs)
    dark, bright = (np.full((1, WIDE, 6, 6), value, np.float32) for value in (0.5, brightness))
    images = [{source.inputs[0]: array} for array in (dark, bright)]
    cpu = Relay(target.resolve(None, 1))
    rows = compared(source, images, cpu, lambda _: None)
    assert [row.source_inexact for row in rows] == [False, saturates, False]
    assert not any(row.wrong for row in rows) and rows[1].relay.wrong == saturates
    assert not faults(source, rows, images, cpu, tmp_path)
    assert ("is not exact" in report.verdict(rows)) == saturates
    values, layer = source.record(images[1]), source.layers[1]
    assert np.array_equal(source.exact(layer, values), values[layer.output]) != saturates
    assert source.exact(source.layers[0], values) is None
    if saturates:
        wrong = [rows[0], replace(rows[1], source_inexact=False), rows[2]]
        (fault,) = faults(source, wrong, images, cpu, tmp_path)
        assert np.load(fault.files[1])["fed0"].max() > 4, "the image that is wrong"


class Averaged(nn.Module):
    """An average of channels-last data, which has ties: input and output have the same scale."""

    def __init__(self, zero):
        super().__init__()
        self.zero = zero

    def forward(self, images):
        values = torch.quantize_per_tensor(images, 0.05, self.zero, torch.quint8)
        values = values.contiguous(memory_format=torch.channels_last)
        return nn.functional.avg_pool2d(values, 2).dequantize()


@pytest.mark.parametrize(("zero", "other_way"), [(120, False), (121, True)])
def test_averages_halfway_between_two_steps_may_be_rounded_either_way(zero, other_way, tmp_path):
    inputs = [image_input((WIDE, 6, 6))]
    torchscript.save_traced(Averaged(zero).eval(), tmp_path / "module.pt", inputs)
    source = TorchSource.of(tmp_path / "module.pt", inputs)
    values = np.random.default_rng(0).normal(size=(1, WIDE, 6, 6)).astype(np.float32)
    rows = compared(source, [{source.inputs[0]: values}], Relay(target.resolve(None, 1)), lambda _: None)
    assert [row.source_inexact for row in rows if row.operators == ("avg_pool2d",)] == [other_way]
    assert not any(row.wrong for row in rows), rows


def source_of(module, folder):
    torchscript.save_traced(module.eval(), folder / "module.pt", INPUTS)
    return TorchSource.of(folder / "module.pt", INPUTS)


def images(source):
    return [{source.inputs[0]: np.random.default_rng(0).normal(size=(1, *SHAPE), scale=4).astype(np.float32)}]


def results(source, folder):
    cpu = Relay(target.resolve(None, 1))
    rows = compared(source, images(source), cpu, lambda _: None)
    return rows, faults(source, rows, images(source), cpu, folder)


@pytest.mark.parametrize(
    ("module", "operators"),
    [
        (Float(), [("_convolution", "batch_norm", "relu"), ("mul",), ("cat",), ("mean",)]),
        (Quantized(), [("quantize_per_tensor",), ("hardtanh",), ("add",), ("dequantize",)]),
        (Biased(), [("quantize_per_tensor",), ("add",), ("layer_norm",), ("dequantize",)]),
    ],
    ids=["float", "quantized", "biased"],
)
def test_a_right_module_has_no_wrong_layer(module, operators, tmp_path):
    source = source_of(module, tmp_path)
    rows, found = results(source, tmp_path)
    assert [row.operators for row in rows] == operators
    assert not found and not any(row.wrong for row in rows)
    with torch.inference_mode():
        expected = module(*map(torch.from_numpy, images(source)[0].values()))
    np.testing.assert_array_equal(source.run(images(source))[0], expected.numpy())
    (otherwise,) = source.run_otherwise(images(source))
    np.testing.assert_allclose(otherwise, expected.numpy(), atol=0.021, err_msg="one step of the last scale")


def test_a_wrong_conversion_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_quantized, "rewrite", lambda traced, **_: torch._C._jit_pass_inline(traced.graph))
    _, (fault,) = results(source_of(Quantized(), tmp_path), tmp_path)
    assert (fault.operators, fault.stage, fault.kind) == (("hardtanh",), IMPORT, "saturation"), fault
    model, arrays = fault.files
    values = np.load(arrays)
    with torch.inference_mode():
        (output,) = torch.jit.load(model)(torch.from_numpy(values["fed0"]))
    np.testing.assert_array_equal(output.numpy(), values["expected"])
