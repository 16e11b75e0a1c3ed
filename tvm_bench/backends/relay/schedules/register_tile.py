"""Register tiles: the part of the output whose sums stay in vector registers."""

from __future__ import annotations

import re
from itertools import product
from math import prod

HALF_BLOCK = 8  # channels: half a vector of AVX-512, which is as fast on Zen 4
MORE_TILES = 4  # candidates besides the estimated best tile
# TVM puts larger arrays on the heap, and fills them with zeros there before the registers do.
STACK_BYTES = 1023
HEAP_LOADS = 0.25  # per multiplication, estimated
FEW_REGISTERS = 16  # of AVX2; AVX-512 has 32
IN_FLIGHT = 8  # sums that keep both multipliers of a core at work: two each cycle, and each takes four
LEAST_TASKS = 8  # so that all cores have work
Tile = tuple[int, int, int]  # channel blocks, rows and columns of the output that are summed together


def fitting(blocks: int, height: int, width: int, registers: int) -> list[Tile]:
    """Tiles that divide the output evenly and fit the `registers`, each of which holds the sums of one block.

    Besides the sums, each block of channels needs a register for its weights, and all together one for the input.
    Sorted by the number of sums, most first; then by loads per multiplication, fewest first; then by rows, most first.
    """
    tiles = product(*(_divisors(number, registers) for number in (blocks, height, width)))
    enough: list[Tile] = [(o, h, w) for o, h, w in tiles if _registers((o, h, w)) <= registers]
    return sorted(enough, key=lambda tile: (-prod(tile), _loads(tile), -tile[1]))


def frugal(
    blocks: int, height: int, width: int, registers: int, *, beyond: bool, flat: bool, dots: bool, full: bool = False
) -> list[Tile]:
    """Tiles for few registers, the fastest first by an estimate; of equal ones, those with most rows, or `flat` ones.

    One register is left over: LLVM may keep sums on the stack where a tile needs all 16. If `full`, those of several
    blocks need not. Dot products of `dots` need half of them for products. With `beyond`, tiles need not divide the
    rows and columns: some sums are computed for nothing.
    """
    sizes = [range(1, min(size, registers) + 1) if beyond else _divisors(size, registers) for size in (height, width)]
    tiles: list[Tile] = [(o, h, w) for o, h, w in product(_divisors(blocks, registers), *sizes)]
    tiles = [
        tile
        for tile in tiles
        if (2 * prod(tile) <= registers if dots else _registers(tile) < registers + (full and tile[0] > 1))
    ]

    def cost(tile: Tile) -> float:
        computed = prod(-(-size // part) * part for size, part in zip((height, width), tile[1:], strict=True))
        multiplication = _loads(tile) if dots else max(_loads(tile, weight=2.0), IN_FLIGHT / prod(tile))
        return multiplication * computed / (height * width)

    return sorted(tiles, key=lambda tile: (cost(tile), -prod(tile), tile[1] if flat else -tile[1]))


def names(
    blocks: int,
    height: int,
    width: int,
    registers: int,
    *,
    multiple: int = 1,
    on_stack: int = 0,
    beyond: bool = False,
    dots: bool = False,
    full: bool = False,
) -> list[str]:
    """The most promising tiles, the best first, as text; a tile has a `multiple` of blocks.

    If `on_stack` is given, tiles of one row come first: those with the fewest loads. Those of weights
    count twice, as they come from the L2 cache, and more sums than that as `HEAP_LOADS`. `frugal` says the rest.
    """
    if registers <= FEW_REGISTERS:
        tiles = frugal(blocks, height, width, registers, beyond=beyond, flat=on_stack > 0, dots=dots, full=full)
    else:
        tiles = fitting(blocks, height, width, registers)
        if on_stack:
            tiles.sort(key=lambda tile: (tile[1] > 1, _loads(tile, weight=2.0) + HEAP_LOADS * (prod(tile) > on_stack)))
    tiles = [tile for tile in tiles if tile[0] % multiple == 0]
    return [written(tile) for tile in tiles][: 1 + MORE_TILES]


def written(tile: Tile) -> str:
    """`2x1x14`."""
    return "x".join(map(str, tile))


def parsed(text: str) -> Tile | None:
    """The inverse of `written`; None for the name of another schedule."""
    numbers = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text, re.ASCII)
    return (int(numbers[1]), int(numbers[2]), int(numbers[3])) if numbers else None


def block_size(channels: int, sizes: tuple[int, ...]) -> int | None:
    """The first of `sizes` that `channels` are a multiple of."""
    return next((size for size in sizes if channels % size == 0), None)


def _registers(tile: Tile) -> int:
    return prod(tile) + tile[0] + 1


def _loads(tile: Tile, weight: float = 1.0) -> float:
    """Loads per multiplication: a register of weights serves all positions, an input all blocks."""
    blocks, rows, columns = tile
    return 1 / blocks + weight / (rows * columns)


def _divisors(number: int, largest: int) -> list[int]:
    return [divisor for divisor in range(1, min(number, largest) + 1) if number % divisor == 0]
