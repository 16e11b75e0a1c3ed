"""The context of all steps: the run spec, the description of the model, its folder, and its tuning records."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..jobs import launcher
from ..jobs.launcher import Job
from ..spec import recipe as recipes
from ..spec.feed import FeedRequest
from ..spec.tensors import TensorSpec, from_json
from ..spec.variant import ModelSpec, RunSpec, Variant

# The tuners of each backend, with the precisions that they can tune. `auto` runs those of `AUTO`, in this order.
TUNERS: dict[str, dict[str, tuple[str, ...]]] = {
    "relay": {"templates": ("fp32", "int8"), "metaschedule": ("fp32", "int8"), "autoscheduler": ("fp32",)},
    "relax": {"metaschedule": ("fp32", "int8")},
}
AUTO: dict[str, tuple[str, ...]] = {"relay": ("templates", "metaschedule"), "relax": ("metaschedule",)}
LEDGER = "ledger.json"  # beside a tuner's records; written last


@dataclass(frozen=True)
class Workbench:
    """A run spec, and `about`: the result of the verb `describe` for its model."""

    run_spec: RunSpec
    about: dict[str, Any]

    @property
    def model_spec(self) -> ModelSpec:
        """The model, its weights, its data and its recipe."""
        return self.run_spec.model_spec

    def inputs(self, batch: int) -> tuple[TensorSpec, ...]:
        """The model's inputs at a batch size."""
        return from_json(self.about["model_inputs"], batch)

    def feed(self, batch: int) -> dict[str, Any]:
        """The request for the inputs of a variant with this batch size."""
        return FeedRequest(
            self.inputs(batch), self.about["spec"], self.model_spec.data, self.model_spec.samples
        ).to_dict()

    @property
    def folder(self) -> Path:
        """The model's folder in the artifacts."""
        return self.run_spec.root / self.model_spec.slug

    @property
    def recipe(self) -> recipes.Recipe:
        """The model's recipe, parsed."""
        return recipes.parse(self.model_spec.recipe)

    def records(self, variant: Variant, tuner: str) -> Path:
        """The folder of `tuner`'s records: `metaschedule`, or `relax-metaschedule` for another backend than Relay.

        They are valid for one architecture, precision, CPU, thread count and batch size. The model's name and weights
        do not matter: the folder is found by the hash at the end of its name.
        """
        conditions = f"{variant.precision}/{self.about['mcpu']}-{variant.threads}t-b{variant.batch}"
        existing = sorted(self.run_spec.logs.glob(f"*-{self._architecture}/{conditions}"))
        return (existing[0] if existing else self._records_folder / conditions) / _folder_name(variant, tuner)

    def tuned_by(self, variant: Variant) -> dict[str, Path]:
        """The tuners that have records for this variant, with their folders."""
        folders = {tuner: self.records(variant, tuner) for tuner in TUNERS[variant.backend]}
        return {tuner: folder for tuner, folder in folders.items() if (folder / LEDGER).exists()}

    def tuned_elsewhere(self, variant: Variant) -> list[str]:
        """The other CPUs, thread counts and batch sizes that this variant has records for, such as `znver4-2t-b1`."""
        ledgers = self.run_spec.logs.glob(f"*-{self._architecture}/{variant.precision}/*/*/{LEDGER}")
        tuners = [_folder_name(variant, tuner) for tuner in TUNERS[variant.backend]]
        return sorted({ledger.parent.parent.name for ledger in ledgers if ledger.parent.name in tuners})

    @property
    def _structured_pruning(self) -> str:
        """The part of the recipe that changes the sizes of layers."""
        techniques = {text: recipes.technique(text) for text in self.recipe.steps}
        return "+".join(
            text
            for text, technique in techniques.items()
            if isinstance(technique, recipes.Prune) and technique.pattern == "structured"
        )

    @property
    def _architecture(self) -> str:
        """A hash (eight hexadecimal digits) of the layer sizes, which structured pruning changes too."""
        text = self.about["architecture"] + self._structured_pruning
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def _records_folder(self) -> Path:
        """The folder of new tuning records. The model's name in it is for readers only."""
        named = replace(self.model_spec, weights="default", recipe=self._structured_pruning)
        return self.run_spec.logs / f"{named.slug}-{self._architecture}"

    def job(self, verb: str, request: dict[str, Any], label: str, **options: Any) -> dict[str, Any]:
        """Run a job, by default with the largest thread count of the run spec. Its files go to the model's `jobs/`."""
        options = {"threads": self.run_spec.most_threads, **options}
        return launcher.run(Job(verb, request, self.folder / "jobs", f"{verb}-{label}", **options))


def _folder_name(variant: Variant, tuner: str) -> str:
    return tuner if variant.backend == "relay" else f"{variant.backend}-{tuner}"


def with_recipe(bench: Workbench, recipe: str) -> Workbench:
    """The workbench of the same model with another recipe."""
    return Workbench(replace(bench.run_spec, model_spec=replace(bench.model_spec, recipe=recipe)), bench.about)
