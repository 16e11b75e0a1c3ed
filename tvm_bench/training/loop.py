"""The one training loop. It resumes at any step, and an interrupted run ends with the same bits as a whole one.

plan       = options.plan(…)                size and steps of each epoch
state      = checkpoint.restore()           the state of an interrupted run
loss       = loss(model, images, labels)    forward, backward, step
validation = evaluate(model, validation)    after each epoch; the best weights are kept
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..host.progress import Progress
from ..models.weights import state_hash
from ..spec.errors import UserError
from . import history
from .checkpoint import Checkpoint, State, Stateful
from .device import Device, choose, mean_over_processes, share_buffers
from .evaluation import evaluate
from .history import EpochRecord
from .images import LabelledImages
from .options import Epoch, Options

SAVE_EVERY = 120.0  # seconds; a checkpoint is also written after each epoch
Loss = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]


def cross_entropy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The default loss of `fit`."""
    return F.cross_entropy(logits(model, images), labels)


def logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """float32 (images, classes). GoogLeNet and Inception return several heads in training mode; the first is used."""
    outputs = model(images)
    return (outputs[0] if isinstance(outputs, tuple) else outputs).float()


def fit(
    model: nn.Module,
    train: LabelledImages,
    validation: LabelledImages,
    options: Options = Options(),  # noqa: B008  # frozen
    *,
    loss: Loss = cross_entropy,
    after_step: Callable[[nn.Module], None] | None = None,
    folder: Path | None = None,
    about: str = "",
    device: str = "auto",
    amp: bool = True,
    title: str = "training",
) -> list[EpochRecord]:
    """Train `model` in place. It ends on the CPU, in evaluation mode, with the weights of the best validation loss.

    `loss(model, images, labels)` gets float32 images on the device. It runs under autocast unless `amp` is false, which
    fake-quantized models need. `after_step(model)` is called after each step, for example to restore zeros of pruning.

    `folder` gets `checkpoint.pt`, `history.json` and `training_history.png`. An interrupted run resumes from the
    checkpoint, but only with the same initial weights, options, images and `about`; `about` describes what only `loss`
    knows. On a CPU the same run gives the same bits, on a GPU it does not.

    With several stages, the best weights are those of the last stage. Under `torchrun`, inside `device.process_group`,
    each process gets its share of every batch. Returns one record per epoch. Raises `UserError` when the loss is not
    finite.
    """
    place = choose(device, amp=amp)
    batch = options.batch(len(train))
    if batch % place.world:
        raise UserError(
            f"a batch of {batch} images cannot be split evenly between {place.world} processes. "
            "Give a --batch-size that is a multiple of the processes."
        )
    identity = _identity(model, train, validation, options, place) | {"loss": about}
    model.to(place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stub
    optimizer = _optimizer(model, options)
    scaler = torch.amp.GradScaler(place.device.type, enabled=place.reduced == torch.float16)
    parts: dict[str, Stateful] = {"model": model, "optimizer": optimizer, "scaler": scaler}
    checkpoint = Checkpoint(folder / "checkpoint.pt" if folder else None, identity, parts, place)
    state = checkpoint.restore()
    wrapped = _distributed(model, place)
    plan = options.plan(len(train), train.spec.shape[1])
    before = list(accumulate((epoch.size**2 * batch * epoch.steps for epoch in plan), initial=0))
    saved = time.monotonic()
    with Progress(title, total=before[-1], start=state.pixels) if place.first else nullcontext() as progress:
        for epoch in plan[state.epoch :]:
            if epoch.stage == state.ended_stage:
                continue
            began = time.monotonic()
            # A stage that ended early is skipped in full: the next stage has its planned learning rates.
            state.pixels = before[epoch.index] + epoch.size**2 * batch * state.step
            seed = _seed(options.seed, epoch.index)
            shares = _shares(len(train), batch, epoch, seed, place)[state.step :]
            wrapped.train()
            for images, labels in train.at(epoch.size).batches(shares, seed, place.workers):
                torch.manual_seed(_seed(seed, state.step, place.rank))  # dropout draws from the global generator
                for group in optimizer.param_groups:
                    group["lr"] = options.rate(state.pixels / before[-1])
                value = _step(wrapped, optimizer, scaler, loss, images, labels, place)
                if after_step:
                    after_step(model)
                state.losses.append(value)
                state.step += 1
                state.pixels += epoch.size**2 * batch
                if progress:
                    progress.to(state.pixels, f"{epoch.size} px, epoch {epoch.index + 1}/{len(plan)}, loss {value:.3f}")
                if time.monotonic() - saved > SAVE_EVERY:
                    checkpoint.save(state)
                    saved = time.monotonic()
            share_buffers(model, place)
            scores = evaluate(model, validation.at(epoch.size), place)
            _end_epoch(state, epoch, scores, model, options.patience, time.monotonic() - began)
            checkpoint.save(state)
            if folder and place.first:
                history.write(state.history, folder)
    model.load_state_dict(state.best)
    model.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]  # see above
    return state.history


def _identity(
    model: nn.Module, train: LabelledImages, validation: LabelledImages, options: Options, place: Device
) -> dict[str, str]:
    """All that determines the result. Not the number of processes: a run may resume with more or fewer."""
    return {
        "options": json.dumps(asdict(options)),
        "data": train.fingerprint + validation.fingerprint,
        "start": state_hash(model),
        "device": f"{place.device.type} {place.reduced}",
    }


def _seed(*parts: int) -> int:
    """A 64-bit seed made of `parts`, which are not negative."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def _optimizer(model: nn.Module, options: Options) -> torch.optim.SGD:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    nesterov = options.momentum > 0  # SGD has no Nesterov variant without momentum
    return torch.optim.SGD(weights, options.lr, options.momentum, weight_decay=options.weight_decay, nesterov=nesterov)


def _shares(images: int, batch: int, epoch: Epoch, seed: int, place: Device) -> list[np.ndarray]:
    """The positions of this process's share of each batch, in a shuffled epoch."""
    order = np.random.default_rng(seed).permutation(images)
    return [order[step * batch : (step + 1) * batch][place.rank :: place.world] for step in range(epoch.steps)]


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    loss: Loss,
    images: torch.Tensor,
    labels: torch.Tensor,
    place: Device,
) -> float:
    """Forward, backward, step. Returns the mean loss over the processes."""
    images = images.to(place.device, memory_format=torch.channels_last, non_blocking=True)
    labels = labels.to(place.device, non_blocking=True)
    with torch.autocast(place.device.type, dtype=place.reduced, enabled=place.reduced is not None):
        value = loss(model, images, labels)
    optimizer.zero_grad()
    scaler.scale(value).backward()
    scaler.step(optimizer)
    scaler.update()
    return _finite(mean_over_processes(value.detach().clone(), place).item())


def _finite(loss: float) -> float:
    if math.isfinite(loss):
        return loss
    raise UserError(f"the training diverged: its loss is {loss}. Give a lower --lr, or other initial --weights.")


def _end_epoch(
    state: State, epoch: Epoch, scores: tuple[float, float], model: nn.Module, patience: int, seconds: float
) -> None:
    """Record the epoch in `state`, keep the weights if they are the stage's best, and check for early stopping."""
    validation_loss, validation_top1 = _finite(scores[0]), scores[1]
    record: EpochRecord = {
        "epoch": epoch.index + 1,
        "stage": epoch.stage,
        "size": epoch.size,
        "loss": float(np.mean(state.losses)),
        "validation_loss": validation_loss,
        "validation_top1": validation_top1,
        "seconds": round(seconds, 3),  # since the epoch began, or since it was resumed
    }
    state.history.append(record)
    stage = [row["validation_loss"] for row in state.history if row["stage"] == epoch.stage]
    if validation_loss == min(stage):
        state.best = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
    if len(stage) > patience and min(stage) not in stage[-patience:]:
        state.ended_stage = epoch.stage
    state.epoch, state.step, state.losses = epoch.index + 1, 0, []


def _distributed(model: nn.Module, place: Device) -> nn.Module:
    """`model` with gradients averaged over the processes; on CUDA, with synchronised batch norms too."""
    if place.world == 1:
        return model
    if place.device.type == "cuda":
        # The conversion replaces modules. So it works on a copy that shares every tensor with `model`.
        shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
        model = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model, shared))
    return nn.parallel.DistributedDataParallel(model)
