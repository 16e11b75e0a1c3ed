"""report.html: the report as one self-contained file, including all samples."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import jinja2

from ..analysis.results import SCHEMA, flat
from . import environment, summary_text
from .content import EXPLAINED, Content
from .plots import all_plots, style

TEMPLATE = Path(__file__).parent / "template.html"


def html(content: Content) -> str:
    """The whole report as one HTML page. All text is escaped, except our own plots."""
    results = content.results
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return template.from_string(TEMPLATE.read_text()).render(
        model=content.model,
        summary=content.summary,
        explained=EXPLAINED,
        explanations=content.explanations,
        tables=content.tables,
        plots={
            name: [all_plots.svg(name, results, frame) for frame in (style.WIDE, style.NARROW)]
            for name in all_plots.PLOTS
        },
        includes=summary_text.includes(results),
        machine=flat(results.machine),
        settings=environment.settings(results),
        command=environment.command(results),
        # "<" would end the script element, or open a comment in it.
        samples=json.dumps({"schema": SCHEMA, **asdict(results)}).replace("<", "\\u003c"),
    )
