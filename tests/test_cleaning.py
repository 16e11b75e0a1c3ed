"""`clean` deletes what was built, and nothing else."""

import pytest
from click.testing import CliRunner

from tvm_bench.cli import main

BUILT = {"resnet18/sources/fp32-onnx.onnx", "resnet18/answers/fp32-eager.0.npy", "resnet18/int8-relay/lib.so"}
BUILT |= {"resnet18+prune/sources/fp32-module.pt"}
RESULTS = {"resnet18/results.json", "resnet18/runs/a/results.json", "resnet18/plots/latency.png"}
JOBS, TRAINED_JOBS = {"resnet18/jobs/a.receipt.json"}, {"resnet18+prune/jobs/compress-fp32.receipt.json"}
OTHERS = {"resnet18+prune/compressed/weights.safetensors", "app/model/lib.so", "resnet18/notes.txt"}
ALL = BUILT | RESULTS | JOBS | TRAINED_JOBS | OTHERS


@pytest.fixture
def clean(tmp_path):
    """Runs `clean` on files of two models and an application; returns the output and the files that are left."""
    for name in ALL:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")

    def run(*arguments, answer=None):
        done = CliRunner().invoke(main, ["clean", *arguments, "--artifacts", str(tmp_path)], input=answer)
        return done.output, {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}

    return run


def test_nothing_is_deleted_without_a_yes(clean):
    output, left = clean("--dry-run", "--results")
    assert left == ALL and "int8-relay" in output and "Nothing was deleted." in output
    assert clean(answer="n\n")[1] == ALL
    output, left = clean("resnet19", "--yes")
    assert left == ALL and "Did you mean resnet18" in output


def test_results_trained_weights_and_files_of_others_stay(clean):
    assert clean("resnet18", answer="y\n")[1] == ALL - BUILT | {"resnet18+prune/sources/fp32-module.pt"}
    assert clean("--yes")[1] == ALL - BUILT
    assert clean("--yes", "--results")[1] == OTHERS | TRAINED_JOBS
    assert "Nothing was deleted." in clean("--yes", "--results")[0]
