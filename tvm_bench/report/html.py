"""report.html: the report as one file that needs nothing else, with the samples inside."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import jinja2

from ..results import SCHEMA, Results
from . import canvas, facts, numbers, pictures, units, words
from .doubts import doubts
from .groups import races

TEMPLATE = Path(__file__).parent / "template.html"


def html(results: Results) -> str:
    """The whole report as one HTML page. All text is escaped; the pictures are ours."""
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return template.from_string(TEMPLATE.read_text()).render(
        model=units.model_name(row.name for row in results.variants),
        headline=words.headline(races(results)[0]),
        verdict=words.sections(results),
        doubts=doubts(results),
        tables=numbers.every(results),
        pictures={
            name: [pictures.svg(name, results, frame) for frame in (canvas.WIDE, canvas.NARROW)]
            for name in pictures.PICTURES
        },
        includes=words.INCLUDES,
        machine=facts.flat(results.machine),
        settings={key: value for key, value in facts.flat(results.settings).items() if key != "command"},
        command=facts.command(results),
        # "<" would end the script element, or open a comment in it.
        samples=json.dumps({"schema": SCHEMA, **asdict(results)}).replace("<", "\\u003c"),
    )
