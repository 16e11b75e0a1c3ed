"""The notebooks run from top to bottom, on settings that a test can afford."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT, TINY


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


def test_quantization_and_inference(tmp_path):
    settings = {"MODEL": TINY, "DATA": "fashion-mnist", "BATCHES": "1", "ROUNDS": 1, "SAMPLES": 2, "IMAGES": 20}
    text, drawn = executed("quantization.ipynb", {**settings, "ARTIFACTS": str(tmp_path)})
    assert "fp32-relay size" in text and "int8-relay size" in text
    assert drawn == 1


def test_what_is_committed_was_executed_and_is_small():
    for path in (ROOT / "docs" / "tutorials").glob("*.ipynb"):
        notebook = nbformat.read(path, 4)
        nbformat.validate(notebook)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), path
        assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
        assert path.stat().st_size < 1_500_000
