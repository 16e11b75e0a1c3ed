"""`diff` by the PyTorch front end: traced modules, FP32 and quantized, are cut between their layers."""

import numpy as np
import pytest
import torch
from torch import nn

from tvm_bench.backends.relay import target, torch_quantized
from tvm_bench.exporters import torchscript
from tvm_bench.layer_diff.comparison import compared
from tvm_bench.layer_diff.faulty_layers import IMPORT, faults
from tvm_bench.layer_diff.severed_torch import TorchSource
from tvm_bench.spec.tensors import image_input

SHAPE = (4, 6, 6)
INPUTS = [image_input(SHAPE)]


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


def source_of(module, folder):
    torchscript.save_traced(module.eval(), folder / "module.pt", INPUTS)
    return TorchSource.of(folder / "module.pt", INPUTS)


def images(source):
    return [{source.inputs[0]: np.random.default_rng(0).normal(size=(1, *SHAPE), scale=4).astype(np.float32)}]


def results(source, folder):
    cpu = target.resolve(None, 1)
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
