"""Tiny networks of all kinds, as modules and as ONNX files with open sizes in the notations that packages use."""

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional

from tvm_bench.models.tensors import flat_outputs, flatten
from tvm_bench.spec.tensors import TensorSpec


def block(before, after, stride=1):
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.SiLU())


class Direction(nn.Module):
    """Whether a line of text is upside down: scores of two classes for an image of any size."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(block(3, 8, 2), block(8, 16, 2))
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.body(x).mean(dim=(2, 3))).softmax(dim=1)


class Detector(nn.Module):
    """As YOLOv8: three strides, upsampling, concatenation, boxes by a softmax over distances; (batch, 4 + 3, cells)."""

    CLASSES, BINS = 3, 4

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(block(3, 8, 2), block(8, 8, 2), block(8, 16, 2))
        self.down = nn.ModuleList([block(16, 16, 2), block(16, 16, 2)])
        self.merge = block(32, 16)
        self.boxes = nn.ModuleList([nn.Conv2d(16, 4 * self.BINS, 1) for _ in range(3)])
        self.scores = nn.ModuleList([nn.Conv2d(16, self.CLASSES, 1) for _ in range(3)])

    def forward(self, images):
        first = self.stem(images)
        left, right = self.down[0](first).chunk(2, dim=1)
        second = torch.cat((left, right.sigmoid()), dim=1)
        levels = [first, second, self.down[1](second)]
        upper = functional.interpolate(second, scale_factor=2.0, mode="nearest")
        levels[0] = self.merge(torch.cat((first, upper), dim=1))
        boxes = torch.cat([head(level).flatten(2) for head, level in zip(self.boxes, levels, strict=True)], dim=2)
        scores = torch.cat([head(level).flatten(2) for head, level in zip(self.scores, levels, strict=True)], dim=2)
        weights = boxes.reshape(boxes.shape[0], 4, self.BINS, -1).softmax(dim=2)
        distances = (weights * torch.arange(self.BINS, dtype=torch.float32).reshape(1, 1, -1, 1)).sum(dim=2)
        lower, higher = distances.split(2, dim=1)
        return torch.cat(((lower + higher) / 2, higher - lower, scores.sigmoid()), dim=1)


class TextMap(nn.Module):
    """Where text is: a map (batch, 1, height, width), by transposed convolutions."""

    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(block(3, 8, 2), block(8, 8, 2))
        self.up = nn.Sequential(nn.ConvTranspose2d(8, 8, 2, 2), nn.ReLU())
        self.head = nn.ConvTranspose2d(8, 1, 2, 2)

    def forward(self, x):
        return self.head(self.up(self.down(x))).sigmoid()


class Recognizer(nn.Module):
    """A line of text as scores of letters, (batch, steps, letters): convolutions and an LSTM."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(block(3, 8, 2), block(8, 8, 2))
        self.lstm = nn.LSTM(8, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 12)

    def forward(self, x):
        steps = self.body(x).mean(dim=2).transpose(1, 2)
        return self.head(self.lstm(steps)[0]).softmax(dim=2)


class TwoOfEach(nn.Module):
    """An image and two numbers in, a dictionary of two outputs out."""

    inputs = (TensorSpec("image", (1, 3, 16, 16)), TensorSpec("scale", (1, 2)))

    def __init__(self):
        super().__init__()
        self.body = block(3, 8, 2)
        self.head = nn.Linear(10, 5)

    def forward(self, image, scale):
        features = self.body(image)
        pooled = torch.cat((features.mean(dim=(2, 3)), scale), dim=1)
        return {"scores": self.head(pooled), "features": features}


class Words(nn.Module):
    """Integers in: the classes of a row of words."""

    inputs = (TensorSpec("tokens", (1, 6), "int64", high=50),)

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, 8)
        self.head = nn.Linear(48, 4)

    def forward(self, tokens):
        return self.head(self.table(tokens).flatten(1))


class Masked(TwoOfEach):
    """Selects by a mask: the number of its outputs depends on the image."""

    def forward(self, image, scale):
        features = self.body(image)
        return features[features > 0]


def made(kind):
    torch.manual_seed(0)
    module = kind()
    with torch.no_grad():  # batch norms and a last layer as after a training, so that samples differ
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None
        module.train()
        for _ in range(2):
            module(*(torch.from_numpy(array) for array in arrays(kind, 8).values()))
        for parameter in module.head.parameters() if hasattr(module, "head") else ():
            parameter *= 8
    return module.eval()


def two_of_each():
    return made(TwoOfEach)


def words():
    return made(Words)


def detector():
    return made(Detector)


def text_map():
    return made(TextMap)


def recognizer():
    return made(Recognizer)


def masked():
    return Masked()


# Shapes of a sample, and the open sizes in the notation of the ONNX file: a number stays, a text is a name, None is
# no name and no number.
KINDS = {
    Direction: ({"x": (3, 48, 96)}, {"x": ("-1", 3, "?", "?")}),
    Detector: ({"images": (3, 64, 64)}, {}),
    TextMap: ({"x": (3, 32, 64)}, {"x": ("batch", 3, "height", "width")}),
    Recognizer: ({"x": (3, 16, 64)}, {"x": (None, 3, -1, 64)}),
    TwoOfEach: ({"image": (3, 16, 16), "scale": (2,)}, {}),
    Words: ({"tokens": (6,)}, {}),
}


def arrays(kind, count, seed=0):
    """Samples by the name of the input."""
    random = np.random.default_rng(seed)
    if kind is Words:
        return {"tokens": random.integers(0, 50, (count, 6))}
    shapes, _ = KINDS[kind]
    return {
        name: (random.standard_normal((count, *shape)) + random.uniform(-2, 2, (count, *(1,) * len(shape)))).astype(
            "f4"
        )
        for name, shape in shapes.items()
    }


def save(kind, path):
    """Write the network to an ONNX file with open sizes. Returns the path."""
    module, inputs = made(kind), arrays(kind, 1)
    tensors = tuple(map(torch.from_numpy, inputs.values()))
    with torch.no_grad():
        outputs = list(flatten(module(*tensors)))
    opened = KINDS[kind][1]
    axes = {name: {i: f"d{i}" for i, size in enumerate(sizes) if not is_fixed(size)} for name, sizes in opened.items()}
    if opened:
        axes |= {name: {0: "d0"} for name in outputs}
    with flat_outputs(module):
        torch.onnx.export(
            module, tensors, str(path), dynamo=False, opset_version=17, input_names=list(inputs), output_names=outputs,
            dynamic_axes=axes,
        )  # fmt: skip
    model = onnx.load(path)
    for value in model.graph.input:
        for size, notation in zip(value.type.tensor_type.shape.dim, opened.get(value.name, ()), strict=False):
            size.Clear()
            if isinstance(notation, int):
                size.dim_value = notation
            elif notation is not None:
                size.dim_param = notation
    onnx.save(model, path)
    return path


def is_fixed(size):
    return isinstance(size, int) and size > 0
