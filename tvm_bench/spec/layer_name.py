"""What a layer computes, as text: the same in every precision and format. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence


def convolution(
    channels: tuple[int, int], kernel: Sequence[int], strides: Sequence[int], size: Sequence[int], groups: int = 1
) -> str:
    """`64->128 3x3/2, 28x28`, by its channels in and out and the `size` of its output; `, 4 groups` if it has some."""
    text = f"{channels[0]}->{channels[1]} {'x'.join(map(str, kernel))}/{short(strides)}, {'x'.join(map(str, size))}"
    return text + (f", {groups} groups" if groups > 1 else "")


def product(inputs: int, outputs: int, rows: int) -> str:
    """`512->1000, 1 row` for a product of matrices."""
    return f"{inputs}->{outputs}, {rows} row{'s' * (rows > 1)}"


def short(sizes: Sequence[int]) -> str:
    """`2` for (2, 2), `2,1` for (2, 1)."""
    return str(sizes[0]) if len(set(sizes)) == 1 else ",".join(map(str, sizes))
