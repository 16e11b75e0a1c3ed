"""CIFAR and Indoor-67 as they are published: tiny sets in the exact formats, damaged ones, and hostile ones."""

import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image

from tests.tiny import Tiny
from tvm_bench import data
from tvm_bench.data import cifar, indoor67, safe_pickle
from tvm_bench.data.dataset import CALIBRATION
from tvm_bench.spec.errors import UserError


def python2(value):
    """Pickle `value` opcode by opcode as Python 2's cPickle did at protocol 2: text as byte strings."""
    return b"\x80\x02" + _written(value) + b"."


def _written(value):
    if isinstance(value, np.ndarray):
        dtype = b"cnumpy\ndtype\n" + _written(b"u1") + b"K\x00K\x01\x87R" + b"(K\x03" + _written(b"|") + b"NNN"
        dtype += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + _written(b"b") + b"\x87R"
        shape = b"".join(map(_written, value.shape)) + b"\x86"
        return made + b"(K\x01" + shape + dtype + b"\x89" + _written(value.tobytes()) + b"tb"
    if isinstance(value, bytes):
        return (b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))) + value
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_written, value)) + b"e"
    return b"}(" + b"".join(_written(key) + _written(each) for key, each in value.items()) + b"u"


def batch(count, label, classes=10, first=0):
    """The first byte of each colour plane is the image's number, the second the plane's."""
    pixels = np.zeros((count, 3, 1024), np.uint8)
    pixels[:, :, 0] = np.arange(first, first + count)[:, None]
    pixels[:, :, 1] = [7, 8, 9]
    labels = [(first + i) % classes for i in range(count)]
    names = [b"picture_%05d.png" % i for i in range(count)]
    return {b"batch_label": b"some batch", label: labels, b"data": pixels.reshape(count, -1), b"filenames": names}


def cifar10(each=4):
    files = {f"data_batch_{n + 1}": batch(each, b"labels", first=n * each) for n in range(5)}
    files["test_batch"] = batch(3, b"labels", first=200)
    names = [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse", b"ship", b"truck"]
    return files | {"batches.meta": {b"num_cases_per_batch": each, b"label_names": names, b"num_vis": 3072}}


def cifar100():
    coarse = {b"coarse_labels": [0] * 12}
    return {
        "train": batch(12, b"fine_labels", 100) | coarse,
        "test": batch(3, b"fine_labels", 100, 50) | coarse,
        "meta": {b"fine_label_names": [b"class %d" % i for i in range(100)], b"coarse_label_names": [b"all"]},
    }


def unpacked(root, name, files):
    folder = root / cifar.PUBLISHED[name].folder
    folder.mkdir(parents=True)
    for file, value in files.items():
        (folder / file).write_bytes(python2(value))
    return folder


def packed(root, name, files):
    path = root / cifar.PUBLISHED[name].archive
    with tarfile.open(path, "w:gz") as archive:
        for file, value in files.items():
            raw = python2(value)
            member = tarfile.TarInfo(f"{cifar.PUBLISHED[name].folder}/{file}")
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    return path


@pytest.mark.parametrize("write", [unpacked, packed])
def test_cifar10(tmp_path, monkeypatch, write):
    path = write(tmp_path, "cifar10", cifar10())
    train, test = (data.load(f"cifar10:{path}", split) for split in ("train", "test"))
    assert len(train) == 20 and len(test) == 3 and train.classes[:2] == ("airplane", "automobile")
    assert train.labels.tolist() == [i % 10 for i in range(20)] and test.labels.tolist() == [0, 1, 2]
    image = train.image(17)
    assert image.size == (32, 32) and image.getpixel((0, 0)) == (17, 17, 17) and image.getpixel((1, 0)) == (7, 8, 9)
    assert next(train.batches(Tiny.input_spec, 4)).shape == (4, 3, 32, 32)
    monkeypatch.setattr(cifar, "DEFAULT", tmp_path)
    assert len(data.load("cifar10", "test")) == len(data.load(f"cifar10:{tmp_path}", "test")) == 3


def test_cifar100_has_fine_labels(tmp_path):
    packed(tmp_path, "cifar100", cifar100())
    test = data.load(f"cifar100:{tmp_path}", "test")
    assert len(test.classes) == 100 and test.labels.tolist() == [50, 51, 52]


def test_calibration_is_drawn_from_training(tmp_path):
    packed(tmp_path, "cifar10", cifar10(each=120))
    calibration = data.load(f"cifar10:{tmp_path}", "calibration")
    train = data.load(f"cifar10:{tmp_path}", "train")
    assert len(calibration) == CALIBRATION and calibration.name.endswith("(calibration)")
    bytes_of = [{each.image(i).tobytes() for i in range(len(each))} for each in (calibration, train)]
    assert bytes_of[0] < bytes_of[1]


def test_the_writer_of_these_tests_agrees_with_pythons_own_reader():
    value = batch(2, b"labels")
    theirs, ours = pickle.loads(python2(value), encoding="bytes"), safe_pickle.loads(python2(value), "x")
    for found in (theirs, ours):
        assert found.keys() == value.keys() and (found[b"data"] == value[b"data"]).all()
        assert found[b"filenames"] == value[b"filenames"] and found[b"labels"] == [0, 1]


def test_what_python3_and_numpy_write_is_read():
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for wanted in (array, np.asfortranarray(array)):
        found = safe_pickle.loads(pickle.dumps({b"data": wanted, b"labels": [1, 2]}, protocol=2), "x")
        assert (found[b"data"] == array).all() and found[b"labels"] == [1, 2]


class Hostile:
    def __init__(self, *what):
        self.what = what

    def __reduce__(self):
        return self.what


def test_hostile_pickles_run_nothing(tmp_path):
    import os

    victim = tmp_path / "victim"
    attacks = [
        pickle.dumps(Hostile(os.mkdir, (str(victim),)), protocol=2),
        pickle.dumps({b"data": Hostile(eval, (f"__import__('os').mkdir({str(victim)!r})",))}, protocol=2),
        pickle.dumps(Hostile(getattr, (np.ndarray, "tofile"))),
        b"\x80\x02cnumpy.core.multiarray\nscalar\n.",
        b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85R.",  # 2 GB by calling the class
        pickle.dumps(np.array([object()], dtype=object), protocol=2),
    ]
    folder = unpacked(tmp_path, "cifar10", cifar10())
    for attack in attacks:
        (folder / "test_batch").write_bytes(attack)
        with pytest.raises(UserError, match="Nothing in it was run"):
            data.load(f"cifar10:{folder}", "test")
    assert not victim.exists()


def test_damage_is_told(tmp_path):
    folder = unpacked(tmp_path, "cifar10", cifar10())
    whole = (folder / "test_batch").read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"not a pickle", whole.replace(b"u1", b"O8"), b"\x80\x02N."):
        (folder / "test_batch").write_bytes(damaged)
        with pytest.raises(UserError, match="Download the (data )?set again"):
            data.load(f"cifar10:{folder}", "test")
    for key, wrong in ((b"labels", [0, 1, 10]), (b"labels", [0]), (b"data", np.zeros((3, 100), np.uint8))):
        (folder / "test_batch").write_bytes(python2(batch(3, b"labels") | {key: wrong}))
        with pytest.raises(UserError, match="b'labels'|b'data'"):
            data.load(f"cifar10:{folder}", "test")
    (folder / "test_batch").unlink()
    with pytest.raises(UserError, match="lacks test_batch"):
        data.load(f"cifar10:{folder}", "test")
    archive = packed(tmp_path, "cifar100", cifar100())
    archive.write_bytes(archive.read_bytes()[:-300])
    with pytest.raises(UserError, match="Download it again|was not found"):
        data.load(f"cifar100:{archive}", "test")


def test_where_to_get_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz.*--data cifar10:PATH"):
        data.load(f"cifar10:{tmp_path}", "test")
    with pytest.raises(UserError, match="https://web.mit.edu/torralba/www/indoor.html.*TrainImages.txt"):
        data.load(f"indoor67:{tmp_path}", "test")
    with pytest.raises(UserError, match="Did you mean cifar10"):
        data.load("cifar-10", "test")


@pytest.fixture
def rooms(tmp_path):
    """Two rooms with three training images and one test image each, and one image that is in no list."""
    for number, room in enumerate(("airport_inside", "winecellar")):
        (tmp_path / "Images" / room).mkdir(parents=True)
        for i in range(5):
            Image.new("RGB", (60, 50), (number * 200, i, 0)).save(tmp_path / "Images" / room / f"{room}_{i}.jpg")
    for name, numbers in (("TrainImages.txt", (0, 1, 2)), ("TestImages.txt", (3,))):
        lines = [f"{room}/{room}_{i}.jpg" for room in ("winecellar", "airport_inside") for i in numbers]
        (tmp_path / name).write_text("\r\n".join(lines) + "\r\n")
    return tmp_path


def test_indoor67(rooms, monkeypatch):
    train, calibration, test = (data.load(f"indoor67:{rooms}", split) for split in data.SPLITS)
    assert (len(train), len(calibration), len(test)) == (6, 6, 2)
    assert train.classes == test.classes == ("airport_inside", "winecellar") and test.labels.tolist() == [1, 0]
    for i, label in enumerate(train.labels):
        assert abs(train.image(i).getpixel((5, 5))[0] - 200 * label) < 5
    monkeypatch.setattr(indoor67, "DEFAULT", rooms)
    assert len(data.load("indoor67", "test")) == 2


def test_indoor67_damaged(rooms):
    (rooms / "Images/winecellar/winecellar_3.jpg").unlink()
    with pytest.raises(UserError, match="1 images of TestImages.txt are not in.*winecellar_3"):
        data.load(f"indoor67:{rooms}", "test")
    for lines, match in (
        ("../../etc/passwd", "is not a list"),
        ("", "is not a list"),
        ("cellar/a.jpg", "are in TestImages.txt but not"),
        ("winecellar/winecellar_1.jpg", "are in both lists|is in both"),
    ):
        (rooms / "TestImages.txt").write_text(lines)
        with pytest.raises(UserError, match=match):
            data.load(f"indoor67:{rooms}", "test")
