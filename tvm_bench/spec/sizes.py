"""The sizes of inputs that the user gives. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .errors import UserError, unknown

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Sizes:
    """`image` is (channels, height, width) of the only image input, `shapes` those of inputs by name, batch included.

    `dims` are sizes of named dimensions. `batch` is the batch size, for first sizes that are open.
    """

    image: tuple[int, int, int] | None = None
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)
    batch: int = 1


@dataclass(frozen=True)
class OpenInput:
    """An input as a file declares it: each size is a number, the name of a dimension, or None if it is open.

    `sizes` is None if the file does not even state the number of dimensions.
    """

    name: str
    sizes: tuple[int | str | None, ...] | None
    is_float: bool = True

    @property
    def text(self) -> str:
        """`x [1, 3, height, ?]`."""
        sizes = "of unknown shape" if self.sizes is None else f"[{', '.join(str(s or '?') for s in self.sizes)}]"
        return f"{self.name} {sizes}"

    @property
    def may_be_image(self) -> bool:
        """Whether `--input-shape C,H,W` can be meant for this input."""
        return self.is_float and (self.sizes is None or len(self.sizes) == 4)


def fixed(inputs: Sequence[OpenInput], sizes: Sizes) -> dict[str, tuple[int | str | None, ...] | None]:
    """The shape of each input after the user's sizes; what nothing fixes stays open.

    Equal names of dimensions get equal sizes; an open first size gets the batch size. Raises `UserError` for unknown
    names, with near ones, and for sizes that contradict the file or each other.
    """
    given = _given(inputs, sizes)
    dims = dict(sizes.dims)
    for entry in inputs:
        for declared, size in zip(entry.sizes or (), given.get(entry.name, ()), strict=False):
            if isinstance(declared, str) and size and dims.setdefault(declared, size) != size:
                raise UserError(f"the dimension '{declared}' is to be {dims[declared]} and {size}. Give one size.")
    shapes: dict[str, tuple[int | str | None, ...] | None] = {}
    for entry in inputs:
        declared_sizes = entry.sizes if entry.sizes is not None else given.get(entry.name)
        if declared_sizes is None:
            shapes[entry.name] = None
            continue
        wanted = given.get(entry.name, (None,) * len(declared_sizes))
        shape = [_size(d, w, dims) for d, w in zip(declared_sizes, wanted, strict=True)]
        if shape and not isinstance(shape[0], int):
            shape[0] = sizes.batch
        shapes[entry.name] = tuple(shape)
    return shapes


def _size(declared: int | str | None, wanted: int | None, dims: Mapping[str, int]) -> int | str | None:
    if isinstance(declared, int):
        return declared
    return wanted or (dims.get(declared, declared) if declared else None)


def _given(inputs: Sequence[OpenInput], sizes: Sizes) -> dict[str, tuple[int | None, ...]]:
    """The user's shape of each input that has one, checked against the file."""
    named = {entry.name: entry for entry in inputs}
    for name in sizes.shapes:
        if name not in named:
            raise unknown("input", name, named)
    known = {size for entry in inputs for size in entry.sizes or () if isinstance(size, str)}
    for name in sizes.dims:
        if name not in known:
            if not known:
                raise UserError(f"no input has a named dimension, so --dim {name} fixes nothing: {_listed(inputs)}.")
            raise unknown("dimension", name, known)
    given: dict[str, tuple[int | None, ...]] = dict(sizes.shapes)
    if sizes.image:
        images = [entry.name for entry in inputs if entry.may_be_image]
        if len(images) != 1:
            raise UserError(
                f"--input-shape C,H,W is for one image input, and the inputs are {_listed(inputs)}. Give "
                f"--input-shape {inputs[0].name}:1,3,224,224, and so on for each input with open sizes."
            )
        given.setdefault(images[0], (None, *sizes.image))
    for name, shape in given.items():
        declared = named[name].sizes
        if declared is not None and (
            len(declared) != len(shape)
            or any(isinstance(d, int) and s and d != s for d, s in zip(declared, shape, strict=True))
        ):
            raise UserError(
                f"input '{name}' is fixed at {named[name].text.removeprefix(name + ' ')}, but --input-shape is "
                f"{list(shape if shape[0] else shape[1:])}. Omit it, or export the model with that shape."
            )
    return given


def _listed(inputs: Sequence[OpenInput]) -> str:
    return ", ".join(entry.text for entry in inputs)
