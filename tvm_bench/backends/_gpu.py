"""What the backends of an NVIDIA GPU share: its clock, and PyTorch modules on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch

from ..exporters.module_call import call, tensors
from ..spec.tensors import Arrays


class Event(Protocol):
    """A moment on a stream, as `torch.cuda.Event` has it."""

    def record(self) -> object: ...
    def synchronize(self) -> object: ...
    def elapsed_time(self, end: Any) -> float: ...


def _cuda_event() -> Event:
    return torch.cuda.Event(enable_timing=True)


def events_ms(run: Callable[[], object], runs: int, event: Callable[[], Event] = _cuda_event) -> list[float]:
    """Milliseconds of each of `runs` calls of `run`, between an event before it and one after it.

    Both events are on the current stream, where `run` must compute. Each call begins on an idle GPU, so its time
    includes the launches that the GPU waits for. A call before them does not count.
    """
    return [_between_events(run, event(), event()) for _ in range(runs + 1)][1:]


def _between_events(run: Callable[[], object], begin: Event, end: Event) -> float:
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def use_fp32() -> None:
    """Compute FP32 in FP32: PyTorch's convolutions would take TF32, whose mantissa has ten bits."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def moved(module: torch.nn.Module, device: str = "cuda") -> torch.nn.Module:
    """The module on `device`, channels last."""
    return module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in stubs


class OnDevice:
    """A module on a device, called on arrays in main memory: a call copies them to the device, and its answer back.

    `mode` is the context in which the module runs.
    """

    def __init__(
        self,
        module: Callable[..., Any],
        device: str = "cuda",
        *,
        mode: Callable[[], AbstractContextManager] = torch.inference_mode,
    ):
        self.module, self.device, self.mode = module, device, mode
        self.inputs: tuple[torch.Tensor, ...] = ()

    def __call__(self, arrays: Arrays) -> Arrays:
        with self.mode():
            self.inputs = tuple(self._moved(tensors(arrays)))
            return tuple(output.cpu().numpy() for output in call(self.module, self.inputs))

    def time_evaluator(self, runs: int) -> list[float]:
        """Milliseconds of each of `runs` runs by the GPU's clock, without copies, on the inputs of the last call."""
        with self.mode():
            return events_ms(lambda: call(self.module, self.inputs), runs)

    def _moved(self, inputs: Iterable[torch.Tensor]) -> Iterable[torch.Tensor]:
        for tensor in inputs:
            layout = torch.channels_last if tensor.ndim == 4 else torch.preserve_format
            yield tensor.to(self.device, memory_format=layout)
