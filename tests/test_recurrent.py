"""Recurrent layers, as of a text recognizer, by both front ends."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from tvm_bench.backends.relay import frontend
from tvm_bench.exporters import onnx_file, torchscript
from tvm_bench.layer_diff import builds
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.tensors import TensorSpec

INPUTS = [TensorSpec("steps", (4, 2, 5))]
LAYERS = {
    "one layer": {},
    "batch first": {"batch_first": True, "bias": False},
    "two directions": {"bidirectional": True},
    "two layers of two directions": {"bidirectional": True, "num_layers": 2, "dropout": 0.5},
}


class Recurrent(nn.Module):
    """All outputs and the last states of a layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, steps):
        outputs, states = self.layer(steps)
        return outputs, *(states if isinstance(states, tuple) else (states,))


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("source", ["onnx", "torchscript"])
def test_a_recurrent_layer_is_right(kind, layers, source, tmp_path):
    torch.manual_seed(0)
    module, steps = Recurrent(kind(5, 6, **LAYERS[layers])).eval(), torch.randn(4, 2, 5)
    path = tmp_path / ("model.onnx" if source == "onnx" else "model.pt")
    (onnx_file.save_from_module if source == "onnx" else torchscript.save_traced)(module, path, INPUTS)
    results = builds.runner(builds.unfused(frontend.relay_from_file(path, INPUTS)))({"steps": steps.numpy()})
    with torch.inference_mode():
        right = module(steps)
    assert [result.shape for result in results] == [tuple(tensor.shape) for tensor in right]
    for result, tensor in zip(results, right, strict=True):
        np.testing.assert_allclose(result, tensor, atol=1e-5)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("lengths", [[4, 4], [4, 2]])
def test_sequences_of_different_lengths_are_refused(kind, lengths, tmp_path):
    path = tmp_path / "model.onnx"
    onnx_file.save_from_module(Recurrent(getattr(nn, kind)(5, 6)).eval(), path, INPUTS)
    model = onnx.load(path)
    node = next(node for node in model.graph.node if node.op_type == kind)
    node.input[4] = "lengths"
    model.graph.initializer.append(numpy_helper.from_array(np.array(lengths, np.int32), "lengths"))
    onnx.save(model, path)
    if len(set(lengths)) == 1:
        frontend.relay_from_file(path, INPUTS)
    else:
        with pytest.raises(UserError, match=f"{kind} with sequences of different lengths"):
            frontend.relay_from_file(path, INPUTS)
