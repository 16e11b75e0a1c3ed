"""Names of models: what shares a folder, and what does not."""

import pytest

from tvm_bench.spec.variant import ModelSpec


@pytest.mark.parametrize("spec", [lambda file: ModelSpec(file), lambda file: ModelSpec("resnet18", file)])
def test_files_of_one_name_in_two_folders_share_nothing(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    slugs = {spec(f"{folder}/best.onnx").slug for folder in ("a", "b")}
    assert len(slugs) == 2 and all("best-" in slug for slug in slugs)
    assert spec(str(tmp_path / "a" / "best.onnx")).slug == spec("a/best.onnx").slug == spec("./b/../a/best.onnx").slug


def test_a_checkout_that_moved_keeps_its_folders(tmp_path, monkeypatch):
    slugs = set()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        slugs.add(ModelSpec("resnet18", "runs/best.pt").slug)
    assert len(slugs) == 1


def test_names_that_are_no_files_stay_plain():
    slugs = [ModelSpec("resnet18", weights).slug for weights in ("default", "imagenet", "random")]
    assert slugs == ["resnet18", "resnet18-imagenet", "resnet18-random"]
