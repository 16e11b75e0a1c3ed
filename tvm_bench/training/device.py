"""The device of a training: a CPU or a GPU, in one process or in one of several that `torchrun` started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from ..host import cpu
from ..spec.errors import UserError, unknown

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Device:
    """A device, the type it multiplies matrices in (None: FP32), and the number of this process among all."""

    device: torch.device
    reduced: torch.dtype | None = None
    rank: int = 0
    world: int = 1
    workers: int = 0  # processes that prepare images while the device computes

    @property
    def first(self) -> bool:
        """Whether this process writes the files and prints."""
        return self.rank == 0


def choose(name: str = "auto", *, amp: bool = True) -> Device:
    """The device `name`; `auto` is CUDA if there is a GPU. Raises `UserError` for a missing device.

    With `amp`, matrices are multiplied in FP16 on CUDA, and in BF16 on a CPU that has BF16 instructions.
    """
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no GPU. Use --device cpu, or install a CUDA build of torch.")
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
    if name == "cpu" or not torch.cuda.is_available():
        fast = cpu.host_features() & {"avx512bf16", "amx-bf16"}
        return Device(torch.device("cpu"), torch.bfloat16 if amp and fast else None, rank, world)
    local = int(os.environ.get("LOCAL_RANK", 0))
    workers = max(1, min(8, cpu.cores() // max(1, torch.cuda.device_count())))
    return Device(torch.device("cuda", local), torch.float16 if amp else None, rank, world, workers)


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Connect the processes that `torchrun` started: by NCCL on GPUs, by gloo on CPUs."""
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def mean_over_processes(values: torch.Tensor, device: Device) -> torch.Tensor:
    """The mean of `values` over all processes, in each of them."""
    if device.world > 1:
        distributed.all_reduce(values)
        values /= device.world
    return values


def share_buffers(module: torch.nn.Module, device: Device) -> None:
    """Copy the buffers of the first process to all: batch norm's running statistics differ between the processes."""
    if device.world > 1:
        for buffer in module.buffers():
            distributed.broadcast(buffer, 0)
