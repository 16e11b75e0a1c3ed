"""Knowledge distillation: a student model is trained to give the class probabilities of a teacher.

Method: Hinton, Vinyals, Dean 2015, arXiv:1503.02531: softmax with a temperature T, the loss scaled by T squared.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ..training.loop import Loss, logits


def distillation_loss(teacher: nn.Module, *, temperature: float = 4.0, alpha: float = 0.9) -> Loss:
    """A loss of (student, images, labels): `alpha` * T² * KL(teacher, student) + (1 - `alpha`) * cross-entropy."""

    def loss(student: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        teacher.to(images.device).eval()
        with torch.no_grad():
            target = F.log_softmax(teacher(images).float() / temperature, dim=1)
        outputs = logits(student, images)
        output = F.log_softmax(outputs / temperature, dim=1)
        soft = F.kl_div(output, target, reduction="batchmean", log_target=True) * temperature**2
        return alpha * soft + (1 - alpha) * F.cross_entropy(outputs, labels)

    return loss
