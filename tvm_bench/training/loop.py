"""The one training loop: resumable to the step, and the same to the bit whether or not it was interrupted.

plan       = options.plan(…)                epochs: size and steps of each
state      = checkpoint.restore()           where a run that was killed stood
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
from .checkpoint import Checkpoint, State
from .device import Device, choose, mean_over_processes, share_buffers
from .evaluation import evaluate
from .options import Epoch, Options
from .pictures import Pictures

SAVE_EVERY = 120.0  # seconds, besides after each epoch
Loss = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]


def cross_entropy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The default loss of `fit`."""
    return F.cross_entropy(logits(model, images), labels)


def logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """float32 (images, classes). GoogLeNet and Inception answer with several heads while they train: the main one's."""
    found = model(images)
    return (found[0] if isinstance(found, tuple) else found).float()


def fit(
    model: nn.Module,
    train: Pictures,
    validation: Pictures,
    options: Options = Options(),  # noqa: B008  # frozen
    *,
    loss: Loss = cross_entropy,
    after_step: Callable[[nn.Module], None] | None = None,
    folder: Path | None = None,
    about: str = "",
    device: str = "auto",
    amp: bool = True,
    title: str = "training",
) -> list[dict]:
    """Train `model` in place; leave it on the CPU, in evaluation mode, with the weights of the best validation loss.

    `loss(model, images, labels)` gets float32 images on the device and runs under autocast unless `amp` is false (which
    fake-quantized models need); `after_step(model)` may put zeros back that pruning made. `folder` receives
    `checkpoint.pt`, `history.json` and `training_history.png`, and a run that was killed goes on from there; one
    checkpoint never serves another start, options or pictures, nor another `about`, which names what only `loss` knows.
    With several stages, the best weights are those of the last. A CPU repeats a run to the bit, a GPU does not. Under
    `torchrun`, after `device.process_group`, each process sees its share of every batch. Returns the history: a dict an
    epoch with losses, Top-1 (0 to 1) and seconds. Raises `UserError` when the loss is no longer a number.
    """
    place = choose(device, amp=amp)
    batch = options.batch(len(train))
    if batch % place.world:
        raise UserError(f"a batch of {batch} cannot be shared by {place.world} processes: give a multiple of them.")
    identity = _identity(model, train, validation, options, place) | {"loss": about}
    model.to(place.torch, memory_format=torch.channels_last)
    optimizer = _optimizer(model, options)
    scaler = torch.amp.GradScaler(place.torch.type, enabled=place.reduced == torch.float16)
    parts = {"model": model, "optimizer": optimizer, "scaler": scaler}
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
            # An early end of a stage is a leap: the next one has the learning rates that were planned for it.
            state.pixels = before[epoch.index] + epoch.size**2 * batch * state.step
            seed = hash((options.seed, epoch.index))
            shares = _shares(len(train), batch, epoch, seed, place)[state.step :]
            wrapped.train()
            for images, labels in train.at(epoch.size).batches(shares, seed, place.workers):
                torch.manual_seed(hash((seed, state.step, place.rank)))  # for dropout
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
            found = evaluate(model, validation.at(epoch.size), place)
            _end_epoch(state, epoch, found, model, options.patience, time.monotonic() - began)
            checkpoint.save(state)
            if folder and place.first:
                history.write(state.history, folder)
    model.load_state_dict(state.best)
    model.to("cpu", memory_format=torch.contiguous_format).eval()
    return state.history


def _identity(
    model: nn.Module, train: Pictures, validation: Pictures, options: Options, place: Device
) -> dict[str, str]:
    """All that decides the outcome. Not how many processes there are: a run may go on with more or fewer."""
    return {
        "options": json.dumps(asdict(options)),
        "data": train.fingerprint + validation.fingerprint,
        "start": state_hash(model),
        "device": f"{place.torch.type} {place.reduced}",
    }


def _optimizer(model: nn.Module, options: Options) -> torch.optim.SGD:
    weights = [each for each in model.parameters() if each.requires_grad]
    nesterov = options.momentum > 0  # SGD refuses it without
    return torch.optim.SGD(weights, options.lr, options.momentum, weight_decay=options.weight_decay, nesterov=nesterov)


def _shares(pictures: int, batch: int, epoch: Epoch, seed: int, place: Device) -> list[np.ndarray]:
    """This process's part of each batch of a shuffled epoch."""
    order = np.random.default_rng(abs(seed)).permutation(pictures)
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
    """Forward, backward, step; the loss is the mean over the processes."""
    images = images.to(place.torch, memory_format=torch.channels_last, non_blocking=True)
    labels = labels.to(place.torch, non_blocking=True)
    with torch.autocast(place.torch.type, dtype=place.reduced, enabled=place.reduced is not None):
        value = loss(model, images, labels)
    optimizer.zero_grad()
    scaler.scale(value).backward()
    scaler.step(optimizer)
    scaler.update()
    return _finite(mean_over_processes(value.detach().clone(), place).item())


def _finite(loss: float) -> float:
    if math.isfinite(loss):
        return loss
    raise UserError(f"the training diverged: its loss is {loss}. Give a lower --lr, or other weights to begin with.")


def _end_epoch(
    state: State, epoch: Epoch, found: tuple[float, float], model: nn.Module, patience: int, seconds: float
) -> None:
    """Note the epoch in `state`, keep the weights if they are the stage's best, and see whether it goes on."""
    row = {
        "epoch": epoch.index + 1,
        "stage": epoch.stage,
        "size": epoch.size,
        "loss": float(np.mean(state.losses)),
        "validation_loss": _finite(found[0]),
        "validation_top1": found[1],
        "seconds": round(seconds, 3),  # since the epoch began, or since it went on
    }
    state.history.append(row)
    stage = [each["validation_loss"] for each in state.history if each["stage"] == epoch.stage]
    if found[0] == min(stage):
        state.best = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
    if len(stage) > patience and min(stage) not in stage[-patience:]:
        state.ended_stage = epoch.stage
    state.epoch, state.step, state.losses = epoch.index + 1, 0, []


def _distributed(model: nn.Module, place: Device) -> nn.Module:
    """`model` with its gradients averaged over the processes, and its batch norms over them where CUDA can."""
    if place.world == 1:
        return model
    if place.torch.type == "cuda":
        # The conversion replaces modules, so it is done to a copy that shares every tensor with `model`.
        shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
        model = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model, shared))
    return nn.parallel.DistributedDataParallel(model)
