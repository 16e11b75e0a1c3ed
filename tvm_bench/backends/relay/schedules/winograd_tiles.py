"""How Winograd's algorithm cuts a convolution: tiles of outputs, and the sums that stay in registers."""

from __future__ import annotations

from dataclasses import dataclass

import tvm

from . import int8_dot

SUMS = 24  # of the 32 registers of AVX-512, for those of a register tile; half of them with AVX2
PAIRED_SUMS = 8  # of the 16 registers of AVX2 without VNNI, which needs some for products
LEAST_ROWS = 6  # of a register tile
CHAINS = 8  # sums that do not wait for each other: a multiply-add takes four cycles, and two start in each
TASKS_PER_CORE = 3  # with fewer, one core would wait for another
LEAST_GAIN = 1.1  # of register tiles that do not divide the tiles


@dataclass(frozen=True)
class Tiles:
    """How a convolution is cut: `lines` of `columns` tiles, computed in groups of `grouped` lines."""

    lines: int
    columns: int
    grouped: int

    @property
    def in_group(self) -> int:
        """The number of tiles in a group."""
        return self.grouped * self.columns


@dataclass(frozen=True)
class RegisterTile:
    """The part of a matrix product whose sums stay in registers: at most `most` rows, each of `vectors`.

    These are of so many `blocks` of filters. `chains` of sums keep the multipliers busy.
    """

    most: int
    vectors: int
    chains: int
    blocks: int = 1

    @classmethod
    def of(cls, block: int, blocks: int, kind: int8_dot.Kind | None) -> RegisterTile:
        """That of the current target for a number of `blocks`: by dot products of this `kind` (None: FP32)."""
        lanes = kind.lanes if kind else block
        if lanes == 16:
            return cls(SUMS, 1, CHAINS)
        if not kind:
            together = 2 - blocks % 2  # AVX2 needs an instruction to load a value of data: two blocks share it
            return cls(SUMS // 2 // together, together, CHAINS, together)
        vectors = block // lanes
        if not int8_dot.has_vnni():
            return cls(PAIRED_SUMS // vectors, vectors, 1)
        return cls(SUMS // 2 // vectors, vectors, CHAINS)

    def rows(self, tiles: int) -> int:
        """The rows for a number of `tiles`: they divide it, unless others take clearly less time."""
        fastest = min(range(1, self.most + 1), key=lambda rows: self._time(rows, tiles))
        dividing = max(rows for rows in range(1, self.most + 1) if tiles % rows == 0)
        return fastest if self._time(dividing, tiles) > LEAST_GAIN * self._time(fastest, tiles) else dividing

    def holds(self, tiles: int, positions: int) -> bool:
        """Whether the sums of all `tiles` at these `positions` fit."""
        return self.blocks == 1 and self.rows(tiles) == tiles and positions * tiles <= self.most

    def _time(self, rows: int, tiles: int) -> int:
        """By the products, the loads, or the chains of each register tile, whatever takes longest."""
        return -(-tiles // rows) * max(rows * self.vectors, rows + self.vectors, self.chains)


def cores() -> int:
    """Those of the current target."""
    return max(1, int(tvm.target.Target.current().attrs.get("num-cores", 1)))
