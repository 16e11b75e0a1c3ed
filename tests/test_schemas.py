"""The JSON Schemas of the reference describe the files that are written, and refuse others."""

import json
from dataclasses import fields

import jsonschema
import pytest

from tests.conftest import ROOT
from tvm_bench.analysis.results import Row
from tvm_bench.host import manifest

SCHEMAS = ROOT / "docs" / "reference" / "schemas"
# Pages of their own, which are no single race.
OTHER = ("zoo", "relax", "busy", "distillation", "fleet", "graph", "mixes", "schedules")
RESULTS = [path for path in sorted(ROOT.glob("docs/results/*.json")) if not path.stem.startswith(OTHER)]


def schema(name):
    found = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_fit_their_schema(path):
    schema("results").validate(json.loads(path.read_text()))


def test_every_field_of_a_variant_is_described():
    described = schema("results").schema["properties"]["variants"]["items"]["properties"]
    assert described.keys() == {field.name for field in fields(Row)}
    assert all("description" in entry for entry in described.values())


def test_manifests_fit_their_schema(built):
    validator = schema("manifest")
    for path in built.glob("*/manifest.json"):
        about = json.loads(path.read_text())
        validator.validate(about)
        assert about.keys() <= validator.schema["properties"].keys(), "an entry is not described"
    assert manifest.KEYS.keys() <= set(validator.schema["required"])
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**about, "threads": 0})
