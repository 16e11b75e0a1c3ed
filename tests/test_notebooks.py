"""The notebooks run from top to bottom, on settings that a test can afford."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT, TINY

IMAGE = "docs/images/ankle-boot.png"


def executed(name, settings):
    """What the notebook prints and draws, with other settings in the cell tagged `parameters`."""
    notebook = nbformat.read(ROOT / "docs" / "tutorials" / name, 4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    assert all(name in cell.source for name in settings)
    cell.source = "\n".join(f"{name} = {value!r}" for name, value in settings.items())
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    return text, sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.slow
def test_training_and_visualization(pictures, tmp_path):
    shown = f"imagefolder:{pictures}"
    settings = {"MODEL": TINY, "DATA": shown, "WEIGHTS": "random", "EPOCHS": 2, "IMAGE_SIZE": 32, "BATCH_SIZE": 32}
    settings |= {"RECIPE": "int8", "TEST_DATA": shown, "IMAGES": 30, "ARTIFACTS": str(tmp_path)}
    text, drawn = executed("training.ipynb", settings)
    assert "on 30 test images" in text and "'validation_loss'" in text and "SQNR" in text
    assert drawn == 6


@pytest.mark.slow
def test_quantization_and_inference(tmp_path):
    settings = {"MODEL": TINY, "DATA": "fashion-mnist", "BATCHES": "1", "ROUNDS": 1, "SAMPLES": 2, "IMAGES": 20}
    text, drawn = executed("quantization.ipynb", {**settings, "ARTIFACTS": str(tmp_path)})
    assert "fp32-relay size" in text and "int8-relay size" in text
    assert drawn == 1


@pytest.mark.slow
def test_a_residual_block(tmp_path):
    text, drawn = executed("residual-block.ipynb", {"CHANNELS": 16, "SIZE": 14, "ARTIFACTS": str(tmp_path)})
    assert "1-imported" in text and "2 nn.conv2d" in text and "add + relu" in text and "Only 2 rounds" in text
    assert drawn == 2


def test_int8_by_hand(tmp_path):
    text, drawn = executed("int8-by-hand.ipynb", {"CHANNELS": 3, "FILTERS": 8, "SIZE": 16, "ARTIFACTS": str(tmp_path)})
    (share, largest) = re.search(
        r"([\d.]+)% of \d+ values are the same; the largest difference is (\d) steps", text
    ).groups()
    assert float(share) > 99 and int(largest) <= 1
    assert drawn == 2


@pytest.mark.slow
def test_ship_it(tmp_path):
    places = {"ARTIFACTS": str(tmp_path / "artifacts"), "APPLICATION": str(tmp_path / "application")}
    text, _ = executed("ship-it.ipynb", {"MODEL": TINY, "DATA": "fashion-mnist", "IMAGE": IMAGE, **places})
    for words in ("differs by 0 of its range", "is not the file that was built", "This CPU lacks amx_fp16"):
        assert words in text


@pytest.mark.slow
def test_is_it_faster(tmp_path):
    settings = {"MODEL": TINY, "DATA": "fashion-mnist", "ROUNDS": 5, "SAMPLES": 3, "IMAGES": 20}
    text, drawn = executed("is-it-faster.ipynb", {**settings, "ARTIFACTS": str(tmp_path)})
    assert "Only 1 round" in text and "other programs" in text
    assert drawn == 4


@pytest.mark.slow
def test_smaller_or_faster(pictures, tmp_path):
    settings = {"MODEL": TINY, "DATA": f"imagefolder:{pictures}", "EPOCHS": 0.1}
    settings |= {"ROUNDS": 2, "SAMPLES": 3, "IMAGES": 20}
    text, drawn = executed("smaller-or-faster.ipynb", {**settings, "ARTIFACTS": str(tmp_path)})
    assert text.count("that of the dense network") == 4
    assert drawn == 1


def test_what_is_committed_was_executed_and_is_small():
    for path in (ROOT / "docs" / "tutorials").glob("*.ipynb"):
        notebook = nbformat.read(path, 4)
        nbformat.validate(notebook)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), path
        assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
        assert path.stat().st_size < 1_500_000
