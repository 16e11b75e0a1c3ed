"""Operators that TVM reads wrongly as they are, by ONNX's own tests of its operators; what is refused is named."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.test_open_sizes import graph
from tvm_bench.backends.relay import frontend, onnx_rewrites, passes, target
from tvm_bench.layer_diff import builds
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.tensors import TensorSpec

CASES = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
RIGHT = (
    *("reduce_l1_keep_dims_example", "reduce_l2_negative_axes_keep_dims_example", "reduce_log_sum_asc_axes"),
    *("reduce_sum_square_do_not_keepdims_example", "reduce_sum_default_axes_keepdims_example"),
    *("reduce_mean_default_axes_keepdims_example", "reduce_sum_empty_axes_input_noop", "reduce_log_sum_desc_axes"),
    *("conv_with_autopad_same", "maxpool_2d_same_upper", "maxpool_2d_same_lower", "averagepool_2d_same_lower"),
    *("maxpool_2d_ceil", "maxpool_2d_ceil_output_size_reduce_by_one", "averagepool_2d_ceil"),
    *("split_1d_uneven_split_opset18", "split_2d_uneven_split_opset18", "dropout_default", "dropout_default_ratio"),
    *("gelu_tanh_2", "gelu_default_2", "group_normalization_example", "group_normalization_epsilon"),
    *("resize_upsample_scales_linear", "resize_downsample_sizes_cubic", "clip_min_greater_than_max"),
)
REFUSED = {
    "resize_downsample_sizes_linear_antialias": "Resize with antialias",
    "resize_downsample_scales_linear": "Resize with scales that give fractions of pixels",
    "resize_upsample_sizes_nearest_round_prefer_ceil_asymmetric": "Resize with round_prefer_ceil",
    "resize_upsample_scales_cubic_A_n0p5_exclude_outside": "Resize with exclude_outside",
    "averagepool_2d_ceil_last_window_starts_on_pad": "AveragePool with ceil_mode and count_include_pad",
    "roialign_aligned_true": "RoiAlign with half_pixel",
    "roialign_mode_max": "RoiAlign with half_pixel or maxima",
    "lppool_2d_pads": "LpPool",
    "maxunpool_export_with_output_shape": "MaxUnpool",
    "lstm_batchwise": "LSTM with layout",
    "gru_batchwise": "GRU with layout",
}


def tensor(path):
    return numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))


def imported(name, folder):
    """The Relay module of a case, with all inputs but the first as constants; the first input, and the right output."""
    case = CASES / f"test_{name}"
    model = onnx.load(case / "model.onnx")
    arrays = [tensor(case / "test_data_set_0" / f"input_{i}.pb") for i in range(len(model.graph.input))]
    names = [value.name for value in model.graph.input]
    model.graph.initializer.extend(map(numpy_helper.from_array, arrays[1:], names[1:]))
    del model.graph.input[1:]
    onnx.save(model, folder / "case.onnx")
    spec = TensorSpec(names[0], arrays[0].shape, str(arrays[0].dtype))
    module = passes.lower_quantization(frontend.relay_from_file(folder / "case.onnx", [spec]), target.resolve(None, 2))
    return module, {names[0]: arrays[0]}, tensor(case / "test_data_set_0" / "output_0.pb")


@pytest.mark.parametrize("name", RIGHT)
def test_it_computes_what_onnx_defines(name, tmp_path):
    module, inputs, right = imported(name, tmp_path)
    result, *_ = builds.runner(builds.unfused(module))(inputs)
    assert result.shape == right.shape
    np.testing.assert_allclose(result, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_what_tvm_computes_otherwise_is_refused(name, tmp_path):
    with pytest.raises(UserError, match=REFUSED[name]):
        imported(name, tmp_path)


def test_a_graph_without_such_operators_stays_as_it_is(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    model = onnx.load(
        graph(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, [1])], [("y", TensorProto.FLOAT, [1])])
    )
    assert onnx_rewrites.rewritten(model) is model
