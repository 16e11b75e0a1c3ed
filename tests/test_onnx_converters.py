"""ONNX operators that TVM converts wrongly, against ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
import pytest
import tvm
from onnx import helper, numpy_helper
from tvm import relay

from tvm_bench.backends.relay import frontend
from tvm_bench.spec.tensors import TensorSpec


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("limits", [(-1, 2), (-1, None), (None, 2), (None, None)])
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_clip_with_one_limit_or_none(dtype, limits, constant, tmp_path):
    data = np.arange(-4, 5).astype(dtype)
    given = {name: np.array(v, dtype) for name, v in zip(("low", "high"), limits, strict=True) if v is not None}
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    node = helper.make_node("Clip", ["x", *(name if name in given else "" for name in ("low", "high"))], ["y"])
    inputs = [helper.make_tensor_value_info("x", kind, [9])]
    inputs += [] if constant else [helper.make_tensor_value_info(name, kind, []) for name in given]
    initializers = [numpy_helper.from_array(value, name) for name, value in given.items()] if constant else []
    outputs = [helper.make_tensor_value_info("y", kind, [9])]
    graph = helper.make_graph([node], "g", inputs, outputs, initializer=initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "clip.onnx")
    arrays = {"x": data} if constant else {"x": data, **given}
    (expected,) = onnxruntime.InferenceSession(tmp_path / "clip.onnx").run(None, arrays)
    module = frontend.relay_from_file(
        tmp_path / "clip.onnx", [TensorSpec(name, array.shape, dtype) for name, array in arrays.items()]
    )
    result = relay.create_executor("graph", module, tvm.cpu(), "llvm").evaluate()(*arrays.values()).numpy()
    np.testing.assert_array_equal(result, expected)
    assert not constant or limits == (None, None) or "clip(" in str(module), "which passes know"
