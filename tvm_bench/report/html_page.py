"""report.html: the report as one file that needs nothing else, with the samples inside."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import jinja2

from ..analysis.comparable import races
from ..analysis.names import model_name
from ..analysis.quality_warnings import doubts
from ..analysis.results import SCHEMA, Results
from . import environment, summary_text, tables
from .plots import all_plots, style

TEMPLATE = Path(__file__).parent / "template.html"


def html(results: Results) -> str:
    """The whole report as one HTML page. All text is escaped; the pictures are ours."""
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return template.from_string(TEMPLATE.read_text()).render(
        model=model_name(row.name for row in results.variants),
        headline=summary_text.headline(races(results)[0]),
        verdict=summary_text.sections(results),
        doubts=doubts(results),
        tables=tables.every(results),
        pictures={
            name: [all_plots.svg(name, results, frame) for frame in (style.WIDE, style.NARROW)]
            for name in all_plots.PLOTS
        },
        includes=summary_text.INCLUDES,
        machine=environment.flat(results.machine),
        settings={key: value for key, value in environment.flat(results.settings).items() if key != "command"},
        command=environment.command(results),
        # "<" would end the script element, or open a comment in it.
        samples=json.dumps({"schema": SCHEMA, **asdict(results)}).replace("<", "\\u003c"),
    )
