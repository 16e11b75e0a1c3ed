"""What instructions do: the kinds that explain the speed of a kernel."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from iced_x86 import Instruction, Mnemonic, Register


class Kind(StrEnum):
    """What an instruction does."""

    INT8_DOT = "INT8 dot products"
    INT8_PAIRS = "INT8 pairs, sums in 16 bits"
    INT16_DOT = "INT16 dot products"
    BF16_DOT = "BF16 dot products"
    FMA = "multiply-adds"
    MULTIPLY = "multiplications"
    LONG = "64-bit multiplications"
    CONVERT = "conversions"
    SHUFFLE = "shuffles"
    GATHER = "gathers"
    SCALAR = "scalar operations"
    DIVIDE = "divisions"


INTEGER = (Kind.INT8_DOT, Kind.INT8_PAIRS, Kind.INT16_DOT)
PRODUCTS = (*INTEGER, Kind.BF16_DOT, Kind.FMA)
# By mnemonic; the first that fits.
PATTERNS = (
    (Kind.INT8_DOT, r"VPDPBUSDS?|VPDPBSSDS?|VPDPBSUDS?|VPDPBUUDS?"),
    (Kind.INT8_PAIRS, r"V?PMADDUBSW"),
    (Kind.INT16_DOT, r"VPDPWSSDS?|V?PMADDWD"),
    (Kind.BF16_DOT, r"VDPBF16PS"),
    (Kind.SCALAR, r"V?(ADD|SUB|MUL|DIV|MIN|MAX|SQRT|FN?MADD\d+|FN?MSUB\d+)S[SD]|VFN?M(ADD|SUB)\d+S[SD]"),
    (Kind.FMA, r"VFN?M(ADD|SUB)\d+PS"),
    (Kind.LONG, r"V?PMULU?DQ|VPMULLQ"),
    (Kind.MULTIPLY, r"V?MULPS|V?PMULL[DW]|V?PMULHR?S?U?W"),
    (Kind.DIVIDE, r"V?DIVPS|V?SQRTPS"),
    (Kind.CONVERT, r"V?CVT.*|V?PMOV[SZ]X.*|VPMOV(S|US)?(DB|DW|QD|QW|QB|WB)|V?PACK.*"),
    (Kind.GATHER, r"VP?GATHER.*"),
    (Kind.SHUFFLE, r"VPERM.*|V?P?SHUF.*|V?P?UNPCK.*|VALIGN.*|V?PALIGNR|V(INSERT|EXTRACT)[FI].*|V?PINSR.|V?PEXTR."),
)
WIDTHS = (
    (512, Register.ZMM0, Register.ZMM31),
    (256, Register.YMM0, Register.YMM31),
    (128, Register.XMM0, Register.XMM31),
)
NAMES = {value: name for name, value in vars(Mnemonic).items() if isinstance(value, int)}
FRAME = (Register.RSP, Register.RBP)


@dataclass(frozen=True)
class Evidence:
    """What the instructions of a loop are: their number, those of each kind, and of each vector width in bits.

    `accumulators` is the number of registers that instructions add their products to: each of these instructions takes
    some cycles (0: sums are instructions of their own, which take one). `spills` are loads and stores of vectors on the
    stack.
    """

    instructions: int
    kinds: dict[Kind, int]
    widths: dict[int, int]
    accumulators: int
    spills: int

    @property
    def products(self) -> int:
        """Instructions that multiply and add."""
        return sum(self.kinds.get(kind, 0) for kind in PRODUCTS)

    @property
    def integer_products(self) -> int:
        """Those of integers."""
        return sum(self.kinds.get(kind, 0) for kind in INTEGER)


def evidence(loop: Iterable[Instruction]) -> Evidence:
    """The evidence of the instructions of a loop."""
    instructions = list(loop)
    kinds = Counter(kind for kind in map(kind_of, instructions) if kind)
    widths = Counter(width for item in instructions if kind_of(item) and (width := _width(item.op0_register)))
    sums = {item.op0_register for item in instructions if _accumulates(item)}
    return Evidence(len(instructions), dict(kinds), dict(widths), len(sums), sum(map(_is_spill, instructions)))


def _accumulates(instruction: Instruction) -> bool:
    """Whether it multiplies, and adds the products to a register."""
    apart = NAMES[instruction.mnemonic].endswith(("PMADDWD", "PMADDUBSW"))
    return kind_of(instruction) in PRODUCTS and not apart


def kind_of(instruction: Instruction) -> Kind | None:
    """The kind of an instruction; None for moves, additions, logic and control."""
    return _kind(instruction.mnemonic)


@cache
def _kind(mnemonic: int) -> Kind | None:
    return next((kind for kind, pattern in PATTERNS if re.fullmatch(pattern, NAMES[mnemonic])), None)


def _width(register: int) -> int:
    return next((width for width, first, last in WIDTHS if first <= register <= last), 0)


def _is_spill(instruction: Instruction) -> bool:
    """Whether a vector is loaded from a fixed place on the stack, or stored there."""
    registers = (instruction.op_register(place) for place in range(instruction.op_count))
    return (
        instruction.memory_base in FRAME and instruction.memory_index == Register.NONE and any(map(_width, registers))
    )
