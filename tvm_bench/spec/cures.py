"""Ways to quantize all layers, of which some lose less: those that `sensitivity` compares. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from .mixed_precision import Outcome

# By ONNX Runtime: the recipes that do it.
RECIPES = {
    "min-max ranges": "int8",
    "ranges by histogram": "int8-histogram",
    "ranges by entropy": "int8-entropy",
    "one scale for each tensor": "int8-per-tensor",
}
# By NNCF, which changes the FP32 model before or after: no recipe does it.
CORRECTIONS = {
    "NNCF": "none",
    "NNCF, fast bias correction": "fast",
    "NNCF, bias correction": "layer by layer",
    "NNCF, SmoothQuant": "smooth",
}
CURES = (*RECIPES, *CORRECTIONS)


@dataclass(frozen=True)
class Cured:
    """A model that was quantized in one of the ways `CURES`: the outcome, or the reason why there is none."""

    cure: str
    outcome: Outcome | None
    reason: str = ""

    @property
    def recipe(self) -> str | None:
        """The recipe that quantizes in this way."""
        return RECIPES.get(self.cure)
