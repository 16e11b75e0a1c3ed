"""report.html: one file that needs nothing else, holds every sample, and runs nothing that it was given as text."""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.runs import FAILED, a_row, constant, realistic, scored
from tests.test_report import batches
from tvm_bench.analysis import results
from tvm_bench.report.content import content
from tvm_bench.report.html_page import html

EVIL = "</script><script>alert('x')</script><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Tags with their attributes in order, and the text of each script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.lasttag == "script" and self.scripts:
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def run():
    evil = replace(FAILED, name=f"resnet18/{EVIL}", error=EVIL)
    warned = scored(a_row("int8-torchscript", constant(12.0, 10), flagged=EVIL), range(9))
    run = replace(realistic(), variants=(*realistic().variants, evil, warned, *batches()))
    return replace(run, machine={**run.machine, "cpu": EVIL}, settings={**run.settings, "command": f"tvm-bench {EVIL}"})


@pytest.fixture(scope="module")
def text(run):
    return html(content(run))


def test_nothing_is_loaded_from_elsewhere(text):
    tags = Page(text).tags
    assert not {"link", "iframe", "img", "object", "embed"} & {tag for tag, _ in tags if tag != "image"}
    links = [value for _, attrs in tags for key, value in attrs.items() if key in ("src", "href", "xlink:href")]
    assert links and all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not re.search(r"@import|url\((?!#)", text)


def test_text_is_never_markup(text):
    page = Page(text)
    assert len(page.scripts) == 2 and not any("onerror" in attrs for _, attrs in page.tags)
    assert "<img" not in text and "&lt;/script&gt;&lt;script&gt;alert(&#39;x&#39;)" in text


def test_every_sample_is_inside(run, text, tmp_path):
    (tmp_path / "results.json").write_text(Page(text).scripts[0])
    assert results.load(tmp_path / "results.json") == run
    assert json.loads(Page(text).scripts[0])["schema"] == 1


def test_the_verdict_comes_first_and_the_rest_follows(text):
    parts = (
        'class="headline"',
        "Quality warnings",
        "<table>",
        'id="latency"',
        'id="pareto"',
        'id="batch"',
        'id="memory"',
    )
    parts += ('id="size"', 'id="accuracy"', ">Machine<", ">Settings<", ">To reproduce<")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_pictures_are_whole_twice_and_share_no_names(text):
    pictures = re.findall(r"<svg.*?</svg>", text, re.S)
    assert len(pictures) == 18, "nine plots, each for a wide and for a narrow window"
    for picture in pictures:
        ElementTree.fromstring(picture)
        assert "var(--ink)" in picture and "#222222" not in picture
    names = Counter(attrs["id"] for _, attrs in Page(text).tags if "id" in attrs)
    assert not [name for name, count in names.items() if count > 1]
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    assert used <= set(names)


def test_tables_can_be_sorted_by_every_column(text):
    heads = re.findall(r"<th .*?</th>", text, re.S)
    assert len(heads) >= 15 and all("<button>" in head for head in heads)
