"""Runs passes over a Relay module one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import tvm
from tvm import relay


def in_sequence(steps: Sequence[tvm.transform.Pass], module: tvm.IRModule) -> tvm.IRModule:
    """The module after all passes that are not disabled.

    Each pass over functions infers the types of its result. TVM's `Sequential` would infer them again before the next
    pass, which takes long in networks with hundreds of layers.
    """
    disabled = {str(name) for name in tvm.transform.PassContext.current().disabled_pass}
    module = relay.transform.InferType()(module)
    for step in steps:
        if step.info.name not in disabled:
            module = step(module)
    return module
