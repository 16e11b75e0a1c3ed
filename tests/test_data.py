"""Real bytes in the published formats, and what is made of them."""

import gzip

import numpy as np
import pytest
from PIL import Image

from tvm_bench import data
from tvm_bench.data import imagefolder
from tvm_bench.data.preprocess import InputSpec, network_input
from tvm_bench.host import dataset_folders
from tvm_bench.spec.errors import UserError


def write_idx(path, values):
    header = bytes([0, 0, 8, values.ndim]) + b"".join(int(size).to_bytes(4, "big") for size in values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


def test_the_embedded_set():
    test, calibration = data.load("fashion-mnist", "test"), data.load("fashion-mnist", "calibration")
    assert (np.bincount(test.labels) == 200).all() and len(test.classes) == 10
    assert len(calibration) == 512 and test.image(0).size == (28, 28)


def test_idx_files_are_read_and_damage_is_told(tmp_path, monkeypatch):
    images, labels = np.random.default_rng(0).integers(0, 256, (7, 28, 28)), np.arange(7)
    for split in ("train", "t10k"):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", labels)
    monkeypatch.setattr(dataset_folders, "FASHION_MNIST", (tmp_path,))
    found = data.load("fashion-mnist:full", "test")
    assert len(found) == 7 and (np.asarray(found.image(3)) == images[3]).all() and (found.labels == labels).all()
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="Download the data set again"):
        data.load("fashion-mnist:full", "test")
    monkeypatch.setattr(dataset_folders, "FASHION_MNIST", (tmp_path / "none",))
    with pytest.raises(UserError, match="dataset-fashion-mnist"):
        data.load("fashion-mnist", "train")


def folder_of_pictures(root, classes=("ant", "bee"), each=10):
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(each):
            Image.new("RGB", (40, 30), (number * 200, i, 0)).save(root / name / f"{i}.png")


def test_another_picture_is_another_version(tmp_path):
    folder_of_pictures(tmp_path)
    name = f"imagefolder:{tmp_path}"
    before = data.version(name)
    assert data.version(name) == before
    Image.new("RGB", (40, 30)).save(tmp_path / "ant" / "3.png")
    after = data.version(name)
    (tmp_path / "bee" / "0.png").unlink()
    assert len({before, after, data.version(name), data.version("fashion-mnist")}) == 4


def test_the_full_set_counts_where_training_takes_it(tmp_path, monkeypatch):
    """The embedded subset is for tests; recipes and `train` take the full set of the same name."""
    monkeypatch.setattr(dataset_folders, "FASHION_MNIST", (tmp_path / "none",))
    versions = {data.version("fashion-mnist")}
    monkeypatch.setattr(dataset_folders, "FASHION_MNIST", (tmp_path,))
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", np.zeros((7, 28, 28)))
    versions.add(data.version("fashion-mnist"))
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", np.ones((8, 28, 28)))
    versions.add(data.version("fashion-mnist"))
    assert len(versions) == 3


def test_an_image_that_would_fill_the_memory_is_refused(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(path)
    with pytest.raises(UserError, match="cannot be read as an image.*decompression bomb"):
        imagefolder.read_image(path)


def test_a_folder_is_split_without_overlap(tmp_path):
    folder_of_pictures(tmp_path)
    test, calibration = (data.load(f"imagefolder:{tmp_path}", split) for split in ("test", "calibration"))
    assert len(test) + len(calibration) == 20 and len(calibration) == 4
    assert test.classes == ("ant", "bee")
    for i, label in enumerate(test.labels):
        assert test.image(i).getpixel((0, 0))[0] == label * 200
    seen = [{d.image(i).getpixel((0, 0)) for i in range(len(d))} for d in (test, calibration)]
    assert not seen[0] & seen[1]


def test_train_and_val_folders_are_used_as_such(tmp_path):
    folder_of_pictures(tmp_path / "train", each=6)
    folder_of_pictures(tmp_path / "val", each=3)
    assert [len(data.load(f"imagefolder:{tmp_path}", split)) for split in data.SPLITS] == [12, 12, 6]


def test_pictures_without_classes_have_no_labels(tmp_path):
    for i in range(5):
        Image.new("L", (20, 20), i).save(tmp_path / f"{i}.png")
    assert data.load(f"imagefolder:{tmp_path}", "test").labels is None


def test_preprocessing_equals_torchvisions():
    from tvm_bench.models.torchvision_models import import_torchvision

    transforms = import_torchvision().transforms
    spec = InputSpec(shape=(3, 48, 48), resize=56)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 100, 3), np.uint8))
    theirs = transforms.Compose(
        [
            transforms.Resize(56),
            transforms.CenterCrop(48),
            transforms.ToTensor(),
            transforms.Normalize(spec.mean, spec.std),
        ]
    )(picture)
    assert np.abs(network_input(picture, spec) - theirs.numpy()).max() < 1e-5


def test_grey_networks_see_grey():
    spec = InputSpec(shape=(3, 8, 8), resize=8, mean=(0.5,) * 3, std=(0.5,) * 3, grey=True)
    planes = network_input(Image.new("RGB", (9, 9), (255, 0, 0)), spec)
    assert planes.dtype == np.float32 and (planes[0] == planes[1]).all() and (planes[0] == planes[2]).all()
    assert planes[0, 0, 0] == pytest.approx((76 / 255 - 0.5) / 0.5)


def test_the_last_batch_is_filled_up():
    test = data.load("fashion-mnist", "test")
    spec = InputSpec(shape=(3, 28, 28), resize=28, grey=True)
    batches = list(test.batches(spec, 4, limit=6))
    assert [len(batch) for batch in batches] == [4, 4] and (batches[1][1] == batches[1][3]).all()


def test_folders_that_do_not_fit(tmp_path):
    folder_of_pictures(tmp_path / "plain")
    with pytest.raises(UserError, match="training needs .*train' and"):
        data.load(f"imagefolder:{tmp_path}/plain", "train")
    (tmp_path / "plain" / "cat").mkdir()
    with pytest.raises(UserError, match="no images in .*cat'"):
        data.load(f"imagefolder:{tmp_path}/plain", "test")
    folder_of_pictures(tmp_path / "two" / "train", ("ant", "bee", "cat"))
    folder_of_pictures(tmp_path / "two" / "test", ("bee", "cat"))
    assert data.load(f"imagefolder:{tmp_path}/two", "test").labels.tolist() == [1] * 10 + [2] * 10
    folder_of_pictures(tmp_path / "two" / "test", ("dog",))
    with pytest.raises(UserError, match="class 'dog' is in the test folder"):
        data.load(f"imagefolder:{tmp_path}/two", "test")


def test_more_calibration_images_come_from_the_training_split(tmp_path, monkeypatch):
    images, labels = np.random.default_rng(0).integers(0, 256, (900, 28, 28)), np.arange(900) % 10
    for split in ("train", "t10k"):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", labels)
    monkeypatch.setattr(dataset_folders, "FASHION_MNIST", (tmp_path,))
    assert len(data.calibration("fashion-mnist", 512)) == 512
    found = data.calibration("fashion-mnist", 600)
    chosen = [next(i for i in range(900) if (images[i] == np.asarray(found.image(n))).all()) for n in range(600)]
    assert sorted(set(chosen)) == chosen and (found.labels == labels[chosen]).all() and len(found) == 600
    monkeypatch.setattr(dataset_folders, "FASHION_MNIST", (tmp_path / "none",))
    assert len(data.calibration("fashion-mnist", 600)) == 512
