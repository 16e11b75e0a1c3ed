"""Knowledge distillation: a student learns a teacher's probabilities, wrong classes included.

Method: Hinton, Vinyals, Dean 2015, arXiv:1503.02531: softmax at a temperature T, its loss scaled by T squared.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ..training.loop import Loss, logits


def distillation_loss(teacher: nn.Module, *, temperature: float = 4.0, alpha: float = 0.9) -> Loss:
    """The loss `alpha` * T² * KL(teacher, student) + (1 - `alpha`) * cross-entropy, of (student, images, labels)."""

    def loss(student: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        teacher.to(images.device).eval()
        with torch.no_grad():
            wanted = F.log_softmax(teacher(images).float() / temperature, dim=1)
        answers = logits(student, images)
        given = F.log_softmax(answers / temperature, dim=1)
        soft = F.kl_div(given, wanted, reduction="batchmean", log_target=True) * temperature**2
        return alpha * soft + (1 - alpha) * F.cross_entropy(answers, labels)

    return loss
