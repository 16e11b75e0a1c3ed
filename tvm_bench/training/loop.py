"""Train a classifier: resumable to the step, and the same to the bit whether or not it was interrupted."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..data.dataset import Dataset
from ..data.preprocess import InputSpec, colour, network_input, normalize
from ..files import replace_with, write_json
from ..measure.accuracy import scores
from ..models.torchvision_models import import_torchvision
from ..models.weights import state_hash
from ..progress import Progress
from .schedule import Epoch, Schedule

SAVE_EVERY = 120.0  # seconds
VALIDATION_SHARE = 12  # one training picture in so many is held out


def train(module: nn.Module, spec: InputSpec, data: Dataset, schedule: Schedule, folder: Path) -> nn.Module:
    """Train `module` in place and return it with the weights of the lowest validation loss at the last size.

    Saves `folder/checkpoint.pt` every two minutes and after each epoch, and goes on from it when it is there and
    belongs to the same start, schedule and data. Writes `folder/history.json`: losses and accuracy of each epoch.
    """
    assert data.labels is not None
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(schedule.seed).permutation(len(data))
    held_out, pictures = order[: len(data) // VALIDATION_SHARE], order[len(data) // VALIDATION_SHARE :]
    module = module.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        module.parameters(), schedule.lr, schedule.momentum, weight_decay=schedule.weight_decay, nesterov=True
    )
    identity = {"schedule": json.dumps(asdict(schedule)), "data": data.name, "start": state_hash(module)}
    run = _Run(module, optimizer, identity, folder)
    run.resume()
    pixels = schedule.pixels * len(pictures)
    epochs = list(schedule.epochs(len(pictures)))
    with Progress("training", total=pixels, start=run.pixels) as progress:
        for epoch in epochs[run.epoch :]:
            if epoch.size == run.ended_early:
                continue
            generator = np.random.default_rng((schedule.seed, epoch.index))
            shuffled = generator.permutation(pictures)[: epoch.pictures]
            module.train()
            for start in range(run.step * schedule.batch_size, len(shuffled), schedule.batch_size):
                indices = shuffled[start : start + schedule.batch_size]
                torch.manual_seed(hash((schedule.seed, epoch.index, start)))
                for group in optimizer.param_groups:
                    group["lr"] = schedule.rate(run.pixels / pixels)
                loss = _step(module, optimizer, _augmented(data, indices, spec.at(epoch.size)), data.labels[indices])
                run.advance(loss, epoch.size**2 * len(indices))
                progress.to(run.pixels, f"{epoch.size} px, epoch {epoch.index + 1}/{len(epochs)}, loss {loss:.3f}")
            run.end_epoch(epoch, *evaluate(module, spec.at(epoch.size), data, held_out), schedule.patience)
    run.restore_best()
    return module.eval()


def evaluate(
    module: nn.Module, spec: InputSpec, data: Dataset, indices: np.ndarray, batch: int = 128
) -> tuple[float, float]:
    """Mean cross-entropy and Top-1 accuracy (0 to 1) of `module` on the pictures `indices`, in FP32."""
    assert data.labels is not None
    module.eval()
    loss = right = 0.0
    with torch.inference_mode():
        for start in range(0, len(indices), batch):
            chosen = indices[start : start + batch]
            logits = module(torch.from_numpy(np.stack([network_input(data.image(i), spec) for i in chosen])))
            labels = torch.from_numpy(data.labels[chosen])
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            right += (logits.argmax(1) == labels).sum().item()
    return loss / len(indices), right / len(indices)


def accuracy(module: nn.Module, spec: InputSpec, data: Dataset, batch: int = 128) -> tuple[float, float]:
    """Top-1 and Top-5 (0 to 1) on all of `data`, in FP32."""
    assert data.labels is not None
    with torch.inference_mode():
        logits = np.concatenate([module(torch.from_numpy(images)).numpy() for images in data.batches(spec, batch)])
    found = scores(logits[: len(data)], data.labels)
    return found["top1"], found["top5"]


def _augmented(data: Dataset, indices: np.ndarray, spec: InputSpec) -> torch.Tensor:
    """A random crop of 70 to 100 % of the area, and a mirror image half the time; seeded by the caller."""
    transforms = import_torchvision().transforms
    augment = transforms.Compose(
        [
            transforms.RandomResizedCrop(spec.shape[1:], scale=(0.7, 1.0), ratio=(0.85, 1.18)),
            transforms.RandomHorizontalFlip(),
        ]
    )
    return torch.from_numpy(np.stack([normalize(augment(colour(data.image(i), spec)), spec) for i in indices]))


def _step(module: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: np.ndarray) -> float:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = module(images.to(memory_format=torch.channels_last))
    loss = F.cross_entropy(logits.float(), torch.from_numpy(labels))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


class _Run:
    """Where a training stands, and its file."""

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer, identity: dict, folder: Path):
        self.module, self.optimizer, self.identity, self.folder = module, optimizer, identity, folder
        self.epoch = self.step = self.pixels = self.ended_early = 0
        self.losses: list[float] = []
        self.history: list[dict] = []
        self.best: dict[str, torch.Tensor] = {}
        self.saved = time.monotonic()

    def resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        if state["identity"] != self.identity:
            return  # another schedule or other data: begin again
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in ("epoch", "step", "pixels", "ended_early", "losses", "history", "best"):
            setattr(self, name, state[name])

    def save(self) -> None:
        state = {
            "identity": self.identity,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **{n: getattr(self, n) for n in ("epoch", "step", "pixels", "ended_early", "losses", "history", "best")},
        }
        with replace_with(self.folder / "checkpoint.pt") as path:
            torch.save(state, path)
        self.saved = time.monotonic()

    def advance(self, loss: float, pixels: int) -> None:
        self.step += 1
        self.pixels += pixels
        self.losses.append(loss)
        if time.monotonic() - self.saved > SAVE_EVERY:
            self.save()

    def end_epoch(self, epoch: Epoch, loss: float, accuracy: float, patience: int) -> None:
        self.history.append(
            {
                "epoch": epoch.index + 1,
                "size": epoch.size,
                "loss": float(np.mean(self.losses)),
                "validation_loss": loss,
                "validation_top1": accuracy,
            }
        )
        stage = [row["validation_loss"] for row in self.history if row["size"] == epoch.size]
        if loss == min(stage):
            self.best = {key: value.clone() for key, value in self.module.state_dict().items()}
        if len(stage) > patience and min(stage) not in stage[-patience:]:
            self.ended_early = epoch.size
        self.epoch, self.step, self.losses = epoch.index + 1, 0, []
        write_json(self.folder / "history.json", self.history)
        self.save()

    def restore_best(self) -> None:
        self.module.load_state_dict(self.best)
