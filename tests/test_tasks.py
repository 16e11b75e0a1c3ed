"""Segmentation and detection: labels go with their images, and scores are those that the definitions give."""

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests import networks
from tests.conftest import ROOT
from tests.runs import a_run
from tvm_bench import data
from tvm_bench.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, InputSpec
from tvm_bench.data.preprocess import normalize as normalize_image
from tvm_bench.jobs.verbs import describe
from tvm_bench.measure import detection, segmentation
from tvm_bench.models import outputs, torchvision_boxes, torchvision_models, torchvision_tasks
from tvm_bench.models.structure import structure
from tvm_bench.models.tensors import flatten
from tvm_bench.pipeline import race
from tvm_bench.report import summary_text
from tvm_bench.spec.constraints import Constraints
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.tensors import TensorSpec, image_input
from tvm_bench.spec.variant import ModelSpec, RunSpec

SPEC = InputSpec((3, 32, 32), 32)


@pytest.fixture
def pixels():
    """An image of 64 x 48 pixels: a bright square, whose mask is class 2, and a box around it."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[12:36, 20:44] = 255
    return image


@pytest.fixture
def masks(tmp_path, pixels):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(5):
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
        Image.fromarray(np.where(pixels[..., 0], 2, 0).astype(np.uint8)).save(tmp_path / "masks" / f"{i}.png")
    return tmp_path


@pytest.fixture
def coco(tmp_path, pixels):
    (tmp_path / "images").mkdir()
    for i in range(5):
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 48} for i in range(5)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 7, "bbox": [20, 12, 24, 24], "iscrowd": 0} for i in range(5)
        ],
        "categories": [{"id": 7, "name": "square"}, {"id": 3, "name": "circle"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    return tmp_path


def test_a_mask_is_cut_as_its_image_is(masks):
    test = data.load(f"masks:{masks}", "test")
    (image,), mask = test.batches(SPEC, 1, 1), test.labels_for(SPEC)
    assert len(test) == 4 and len(data.load(f"masks:{masks}", "calibration")) == 1
    bright = image[0, 0] > 0
    assert mask.shape == (4, 32, 32) and set(np.unique(mask)) == {0, 2}
    # The image is interpolated and the mask is not: their edges differ by a pixel at most.
    assert ((mask[0] == 2) != bright).sum() <= 4 * 16 and ((mask[0] == 2) & bright).sum() >= 14 * 14


def test_the_layout_of_voc(masks, pixels):
    (masks / "images").rename(masks / "JPEGImages")
    (masks / "masks").rename(masks / "SegmentationClass")
    lists = masks / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("0\n1\n")
    (lists / "val.txt").write_text("2\n")
    assert len(data.load(f"masks:{masks}", "test")) == 1 and len(data.load(f"masks:{masks}", "calibration")) == 2


def test_masks_that_are_missing_or_coloured(masks, pixels):
    Image.fromarray(pixels).save(masks / "masks" / "1.png")
    with pytest.raises(UserError, match="one class per pixel"):
        data.load(f"masks:{masks}", "test").labels_for(SPEC)
    (masks / "masks" / "1.png").unlink()
    with pytest.raises(UserError, match="has no mask '1.png'"):
        data.load(f"masks:{masks}", "test")
    with pytest.raises(UserError, match="neither images/ and masks/"):
        data.load(f"masks:{masks / 'images'}", "test")


def test_mean_iou():
    labels = np.array([[[0, 0, 1, 255]]])
    logits = np.array([[[[1.0, 0, 0, 0]], [[0, 1.0, 1.0, 1.0]], [[0, 0, 0, 0]]]])  # predicts 0, 1, 1, 1
    # Class 0: 1 of 2. Class 1: 1 of 2. Class 2 does not occur. 255 is not scored.
    assert segmentation.mean_iou(logits, labels) == pytest.approx(0.5)
    assert segmentation.mean_iou(logits.argmax(1), labels) == pytest.approx(0.5)


def test_a_box_is_cut_as_its_image_is(coco):
    test = data.load(f"coco:{coco}", "test")
    assert test.classes == ("circle", "square")
    (box,) = test.labels_for(SPEC)[0]
    assert box == pytest.approx([8.4, 8, 24.6, 24, 1], abs=0.1), "of 43 x 32 pixels, 5 are cut off at the left"
    (coco / "instances.json").write_text("[]")
    with pytest.raises(UserError, match="not in COCO's format"):
        data.load(f"coco:{coco}", "test")


def test_average_precision_of_raw_outputs_and_of_boxes(coco):
    labels = data.load(f"coco:{coco}", "test").labels_for(SPEC)
    right, wrong = np.array([16.4, 16, 16, 16]), np.array([8, 8, 4, 4])
    raw = np.zeros((4, 6, 8), np.float32)
    raw[:, :4] = wrong[:, None]
    raw[:, :4, :3] = right[:, None]  # three boxes over each other: two are suppressed
    raw[:, 5, :3] = 0.9, 0.8, 0.7
    raw[:, 4, 3:] = 1e-4
    scores = detection.average_precision([raw], labels)
    assert scores["map50"] == pytest.approx(1) and scores["map"] > 0.8
    assert [len(boxes) for boxes, *_ in detection.detections([raw])] == [1] * 4
    boxes = [np.tile(labels[:, :1, :4], (1, 2, 1)), np.tile([0.9, 0.1], (4, 1)), np.tile([1, 0], (4, 1))]
    assert detection.average_precision(boxes, labels)["map"] == pytest.approx(1)
    boxes[2] = np.zeros((4, 2), int)
    assert detection.average_precision(boxes, labels)["map"] == 0, "the class counts"


RULES = race.Rules(rounds=1, samples=2, warmup=1)


def raced(model, labels, root, size, backends=("eager", "onnxruntime", "relay")):
    data_name = f"{'coco' if labels.joinpath('instances.json').exists() else 'masks'}:{labels}"
    weights = "default" if ":" in model else "random"
    model_spec = ModelSpec(model, weights, input_shape=(3, size, size), data=data_name)
    run_spec = RunSpec(model_spec, ("fp32",), (), None, (1,), (1,), root)
    with contextlib.chdir(ROOT):
        results, files = race.run(run_spec, backends, RULES, "test", Constraints())
    assert all(row.ok for row in results.variants), [row.error for row in results.variants]
    assert all(row.output_errors["reference"][0]["sqnr_db"] > 60 for row in results.variants)
    return results, files[0].read_text()


def test_a_segmentation_is_scored(masks, tmp_path):
    results, page = raced("tests.networks:text_map", masks, tmp_path, 32, ("eager", "relay"))
    assert results.settings["task"] == "segmentation" and "mIoU" in page
    assert all(row.miou == 1 for row in results.variants), "one class, of which all scored pixels are"


@pytest.mark.slow
def test_a_segmentation_network_of_torchvision_from_model_to_report(masks, tmp_path):
    results, page = raced("lraspp_mobilenet_v3_large", masks, tmp_path, 32)
    assert results.settings["task"] == "segmentation" and "mIoU" in page
    scores = [row.miou for row in results.variants]
    assert all(0 <= score <= 1 for score in scores) and np.ptp(scores) < 0.01


def test_a_detector_is_scored(coco, tmp_path):
    results, page = raced("tests.networks:detector", coco, tmp_path, 64, ("eager", "relay"))
    assert results.settings["task"] == "detection" and "mAP" in page
    assert all(row.map is not None and 0 <= row.map <= row.map50 for row in results.variants)


@pytest.mark.parametrize("name", ["ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn", "fcos_resnet50_fpn"])
def test_boxes_of_a_detector_of_torchvision_are_its_own(name, monkeypatch):
    models = torchvision_models.import_torchvision().models
    torch.manual_seed(0)
    detector, size, classes = torchvision_tasks.detector(models, name, 4).eval(), 64, ("a", "b", "c")
    for head in (detector.head.classification_head, detector.head.regression_head):
        for parameter in head.parameters():
            parameter.data += torch.randn_like(parameter) * 0.02  # by default, all scores are alike
    image = torch.rand(1, 3, size, size)
    raw = flatten(torchvision_tasks.Heads(detector)(image))
    specs = [TensorSpec(key, tuple(value.shape), "float32") for key, value in raw.items()]
    decoder = torchvision_boxes.Decoder(name, classes, specs, (size, size))
    boxes, scores = (array[0] for array in decoder([value.numpy(force=True) for value in raw.values()]))

    # The detector itself, without suppression of overlapping boxes.
    detector.transform = models.detection.transform.GeneralizedRCNNTransform(size, size, [0] * 3, [1] * 3)
    detector.score_thresh, detector.topk_candidates, detector.detections_per_img = -1, 10**6, 10**6
    monkeypatch.setattr("torchvision.ops.boxes.batched_nms", lambda boxes, scores, *_: scores.argsort(descending=True))
    (right,) = detector([image[0]])
    for index in range(len(classes)):
        own = right["labels"] == index + 1
        order = np.argsort(-scores[:, index], kind="stable")
        np.testing.assert_allclose(scores[order, index], right["scores"][own].numpy(force=True), atol=1e-6)
        total = right["boxes"][own].numpy(force=True).mean(axis=0)
        np.testing.assert_allclose(boxes.clip(0, size).mean(axis=0), total, atol=1e-3)
    assert decoder.overlap == detector.nms_thresh


def test_boxes_with_scores_of_each_class_are_scored(coco):
    labels = data.load(f"coco:{coco}", "test").labels_for(SPEC)
    boxes = np.tile(labels[:, :1, :4], (1, 3, 1))
    scores = np.zeros((4, 3, 2), np.float32)
    scores[:, :, 1] = 0.9, 0.8, 0.7  # three boxes over each other: two are suppressed
    scores[:, 0, 0] = 1e-2
    assert detection.can_score([TensorSpec("b", (1, 3, 4), "float32"), TensorSpec("s", (1, 3, 2), "float32")])
    assert [list(found[2]) for found in detection.detections([boxes, scores])] == [[1, 0]] * 4
    assert detection.average_precision([boxes, scores], labels)["map"] == pytest.approx(1)


def test_a_detector_of_torchvision_is_scored_on_its_own_classes_only():
    published = ("__background__", "circle", "N/A", "square")
    assert torchvision_boxes.has_classes(published, ("circle", "square"))
    assert not torchvision_boxes.has_classes(published, ("square", "circle"))


def test_images_are_normalized_as_the_user_says(coco, tmp_path):
    path = str(networks.save(networks.Detector, tmp_path / "detector.onnx"))
    notes = {}
    for normalize, black in ((None, -np.divide(IMAGENET_MEAN, IMAGENET_STD)), ("-1..1", [-1] * 3)):
        model_spec = ModelSpec(path, data=f"coco:{coco}", normalize=normalize)
        spec = InputSpec.from_dict(describe.run(model_spec.request(), 1, False, None, 1, [])["spec"])
        np.testing.assert_allclose(normalize_image(Image.new("RGB", (1, 1)), spec).ravel(), black, rtol=1e-6)
        run = replace(a_run(), settings={"model": model_spec.request(), "threads": 1})
        notes[normalize] = str(summary_text.summarize(run).sections)
    assert "an ONNX file does not say how" in notes[None] and "normalized to -1..1 (--normalize)" in notes["-1..1"]
    with pytest.raises(UserError, match="--normalize is for images, and the inputs are tokens"):
        describe.run(
            ModelSpec("tests.networks:words", normalize="0..1", samples="synthetic").request(), 1, False, None, 1, []
        )


@pytest.mark.slow
def test_a_detector_of_torchvision_from_model_to_report(coco, tmp_path):
    results, _ = raced("retinanet_resnet50_fpn", coco, tmp_path, 64)
    assert all(row.map is not None and 0 <= row.map <= row.map50 for row in results.variants)
    names = [output["name"] for output in results.variants[0].output_errors["reference"]]
    assert any("bbox_regression" in name for name in names) and any("cls_logits" in name for name in names)


SLOW = ("ssd300_vgg16",)
NETWORKS = ("deeplabv3_resnet50", "fcn_resnet50", *torchvision_tasks.DETECTORS)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in NETWORKS])
def test_networks_of_torchvision_are_static(name):
    assert name in torchvision_models.names()
    module = structure(name, 0).eval()
    size = 300 if name == "ssd300_vgg16" else 64  # smaller images vanish in it
    results = outputs(module, (image_input((3, size, size)),))
    assert results[0].shape[:1] == (1,) and all(spec.batched for spec in results)
    if name not in torchvision_tasks.DETECTORS:
        assert [(spec.name, spec.shape) for spec in results] == [("out", (1, 21, 64, 64))]
