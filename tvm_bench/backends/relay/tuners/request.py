"""One tuning step of Relay, with its model."""

from __future__ import annotations

from pathlib import Path

import tvm

from ....spec.tensors import from_json
from ....spec.tuning_step import StepRequest
from .. import frontend, passes, target


class TuningStep(StepRequest):
    """A step of a tuner of Relay."""

    def open_model(self, layout: str = "NCHW") -> tuple[tvm.target.Target, tvm.IRModule]:
        """The target, and the model before scheduling, with its convolutions in `layout`."""
        cpu = target.resolve(self.target_text, self.threads)
        imported = frontend.relay_from_file(Path(self.source), from_json(self.inputs))
        module = passes.lower_quantization(imported, cpu)
        return cpu, passes.convert_layouts(module, layout)
