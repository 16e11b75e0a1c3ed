"""What MetaSchedule is offered for INT8, and the instructions that it then uses."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tvm
from tvm import meta_schedule as ms
from tvm import relay
from tvm.contrib.tar import tar

from tests import test_schedules
from tests.forks import ROOT
from tvm_bench.backends.relay import schedules, target
from tvm_bench.backends.relay.records import metaschedule as records
from tvm_bench.backends.relay.schedules import int8_dot
from tvm_bench.backends.relay.tuners import metaschedule
from tvm_bench.backends.relay.tuners.request import TuningStep


@pytest.mark.skipif(not test_schedules.RUNS, reason="this CPU has no INT8 dot product")
def test_metaschedule_is_offered_the_dot_product():
    chosen = target.resolve(None, 1)
    data = relay.var("data", shape=(1, 16, 14, 14), dtype="uint8")
    weights = relay.const(np.ones((16, 16, 3, 3), np.int8))
    sizes = {"channels": 16, "kernel_size": (3, 3), "padding": (1, 1), "strides": (2, 2)}
    module = tvm.IRModule.from_expr(relay.nn.conv2d(data, weights, **sizes, out_dtype="int32"))
    with schedules.using({}):
        tasks = metaschedule._extracted(module, chosen)
    convolution = max((task.dispatched[0] for task in tasks), key=tvm.tir.analysis.estimate_tir_flops)
    context = ms.TuneContext(convolution, target=chosen, space_generator=metaschedule.space(chosen))
    with chosen:
        name = int8_dot.best().name
    assert any(name in str(design.trace) for design in context.generate_design_space())


def test_intrinsics_of_other_devices_are_not_parsed():
    """Parsing them takes up to 100 s for each tuning step."""
    code = (
        "import sys, tvm; from tvm_bench.backends.relay.tuners import metaschedule;"
        "metaschedule.space(tvm.target.Target('llvm -mcpu=haswell'));"
        "import tvm.tir.tensor_intrin as found; print(hasattr(found.x86, 'VNNI_DOT_16x4_INTRIN'));"
        "print(any('tensor_intrin.cuda' in name for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_every_dot_product_is_exact_in_tir():
    """The intrinsics that MetaSchedule uses, run by themselves against NumPy."""
    random = np.random.default_rng(0)
    for kind in test_schedules.RUNS:
        implementation = tvm.tir.TensorIntrin.get(int8_dot.register(kind)).impl
        compiled = tvm.build(implementation, target=target.resolve(None, 1))
        data = random.integers(0, 256, 4).astype(np.uint8)
        weights = random.integers(-128, 128, (kind.lanes, 4)).astype(np.int8)
        sums = random.integers(-1000, 1000, kind.lanes).astype(np.int32)
        result = tvm.nd.array(sums)
        compiled(tvm.nd.array(data), tvm.nd.array(weights), result)
        np.testing.assert_array_equal(result.numpy(), sums + weights.astype(np.int32) @ data.astype(np.int32))


class Payload:
    """What runs when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_a_cost_model_is_learned_from_records_and_never_unpickled(tmp_path):
    """MetaSchedule's own file of a cost model is a pickle: one that lies among the records must not be opened."""
    dense = relay.nn.dense(relay.var("data", shape=(1, 16)), relay.const(np.ones((16, 16), np.float32)))
    (task,) = metaschedule._extracted(tvm.IRModule.from_expr(dense), target.resolve(None, 1))
    key = records.task_key(task.dispatched[0])
    (tmp_path / "logs").mkdir()
    np.save(tmp_path / "data.npy", np.array([Payload(str(tmp_path / "ran"))], dtype=object))
    tar(str(tmp_path / "logs" / f"{key}.model.tar"), [str(tmp_path / "data.npy")])
    step = TuningStep("", [], 1, None, records=str(tmp_path), reference="", tasks=(key,), trials=2)
    metaschedule._measure(task, step)
    assert not (tmp_path / "ran").exists()
    earlier = records.database(tmp_path).get_all_tuning_records()
    context = ms.TuneContext(task.dispatched[0], target=task.target)
    model = metaschedule.learned(ms, context, list(earlier), 1)
    found = metaschedule.measured(tmp_path, metaschedule._trials(tmp_path))
    assert model.booster and model.data_size == len(earlier) == found[key].trials == 2
