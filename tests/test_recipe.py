"""What --recipe takes, and what it refuses with a reason."""

import pytest

from tvm_bench.spec import recipe
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.recipe import Distill, Prune, Quantize, Settings, ShareWeights


@pytest.mark.parametrize(
    ("text", "technique"),
    [
        ("distill", Distill(scratch=False)),
        ("distill-scratch", Distill(scratch=True)),
        ("prune-structured50", Prune("structured", 0.5, 1)),
        ("prune-unstructured90-iterative", Prune("unstructured", 0.9, 3)),
        ("prune-structured75-iterative5", Prune("structured", 0.75, 5)),
        ("prune-2:4", Prune("2:4", 0.5, 1)),
        ("prune-2:4-iterative", Prune("2:4", 0.5, 2)),
        ("kmeans256", ShareWeights(256)),
        ("kmeans16", ShareWeights(16)),
        ("qat", Quantize("int8", aware=True)),
        ("int8", Quantize("int8")),
        ("int8-per-tensor-entropy", Quantize("int8", per_channel=False, observer="entropy")),
        ("int8-per-channel", Quantize("int8", per_channel=True)),
        ("int8-pt2e", Quantize("int8", pt2e=True)),
        ("int8-minmax-without:Add,/a-b/Gemm", Quantize("int8", observer="minmax", excluded=("Add", "/a-b/Gemm"))),
        ("fp16-dynamic", Quantize("fp16-dynamic")),
    ],
)
def test_techniques(text, technique):
    assert recipe.technique(text) == technique


def test_every_name_that_is_offered_is_understood():
    for name in recipe.NAMES:
        recipe.technique(name.format(50))


def test_composition():
    found = recipe.parse("distill+prune-structured50 + kmeans256+int8-histogram")
    assert found.steps == ("distill", "prune-structured50", "kmeans256")
    assert found.quantization == Quantize("int8", observer="histogram")
    assert recipe.parse("prune-2:4").quantization is None
    assert recipe.parse("") == recipe.Recipe((), None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prune-strutured50", "Did you mean prune-structured50"),
        ("int-8", "Did you mean int8"),
        ("kmean256", "Did you mean kmeans256"),
        ("int8+", "unknown technique ''"),
        ("prune-structured100", "sparsity of 100 %"),
        ("prune-structured0", "between 0 and 100"),
        ("prune-3:4", "Did you mean prune-2:4"),
        ("prune-structred75-iterative5", "Did you mean prune-structured75-iterative"),
        ("prune-unstructured-5", "sparsity of -5 %"),
        ("prune-unstructured0.5", "Write prune-unstructured50"),
        ("prune-structured50-iterative0", "Give 1 to 100"),
        ("prune-2:4-iterative7", "exactly 2 iterations"),
        ("kmeans1000", "2 to 256"),
        ("int8+prune-structured50", "quantization last"),
        ("int8+kmeans256", "quantization last"),
        ("qat+int8", "only one"),
        ("kmeans256+prune-2:4", "changes the shared weights"),
        ("kmeans256+qat", "changes the shared weights"),
        ("prune-unstructured90+prune-structured50", "structured pruning first"),
        ("prune-2:4+prune-unstructured90", "Keep one"),
        ("prune-structured50+prune-structured75", "-iterative"),
        ("prune-structured50+distill-scratch", "first"),
        ("distill+distill", "Keep one"),
    ],
)
def test_what_makes_no_sense_is_refused(text, words):
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        recipe.parse(text)


def test_a_technique_takes_only_its_own_settings():
    given = Settings(temperature=2.0, layers=("stem.0",))
    assert "temperature" not in given.of(recipe.technique("prune-2:4")) and given.of(ShareWeights(16)) == {}
    assert given.of(Distill(scratch=False))["temperature"] == 2.0
    assert given.of(Quantize("int8")) == {} and "epochs" in given.of(Quantize("int8", aware=True))
