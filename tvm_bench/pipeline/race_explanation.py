"""After a race: what limits each INT8 variant, in a sentence."""

from __future__ import annotations

import logging
from dataclasses import replace

from ..analysis.results import Row
from ..jobs.launcher import JobError
from ..report import explanation as report
from ..report import onnx_session
from ..spec.errors import UserError
from ..spec.sizes import Sizes
from . import explanation
from .race_entrants import Entrant

LOG = logging.getLogger(__name__)


def with_explanation(entrant: Entrant) -> Row:
    """The row of an entrant that raced, with its explanation if it is in INT8 by Relay or ONNX Runtime."""
    row = entrant.row
    if row.precision != "int8" or not row.rounds or row.explanation:
        return row
    try:
        if row.backend == "relay":
            text = report.summary(explanation.explain(entrant.artifact))
        elif row.backend == "onnxruntime":
            sizes = Sizes(batch=row.batch)
            text = onnx_session.summary(explanation.explain_onnx(entrant.artifact, sizes, row.threads))
        else:
            return row
    except (UserError, JobError) as error:
        LOG.warning("%s was not explained: %s", row.name, error)
        return row
    return replace(row, explanation=text)
