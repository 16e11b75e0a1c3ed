"""The functions of a library that belong to each kernel, disassembled."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection
from iced_x86 import Decoder, FlowControl, Instruction, Mnemonic

from ...spec.errors import UserError

BITS = 64
X86 = "EM_X86_64"
RELAX = "__tvm_ffi_"  # before the names of kernels of Relax
STUBS, STUB = (".plt", ".plt.sec", ".plt.got"), 16  # sections of stubs, and their bytes each


@dataclass(frozen=True)
class Function:
    """A function: its address, its instructions, and the functions of other libraries that it uses, such as `expf`."""

    address: int
    instructions: tuple[Instruction, ...]
    imports: frozenset[str]


@dataclass(frozen=True)
class _Text:
    """The code of a file. `starts` are the beginnings of functions; `imports` has the names of imported functions by
    the addresses of their stubs, and of the pointers to them."""

    address: int
    code: bytes
    symbols: dict[str, int]
    starts: list[int]
    imports: dict[int, str]

    def holds(self, address: int) -> bool:
        return self.address <= address < self.address + len(self.code)

    def decoded(self, start: int) -> list[Instruction]:
        """The instructions from `start` to the next function."""
        place = bisect.bisect_right(self.starts, start)
        end = self.starts[place] if place < len(self.starts) else self.address + len(self.code)
        return list(Decoder(BITS, self.code[start - self.address : end - self.address], ip=start))


def of_kernels(library: Path, kernels: Iterable[str]) -> dict[str, list[Function]]:
    """The functions of each kernel: the one with its name, and those without a name that it passes to threads.

    A kernel without a symbol is left out: a stripped library gives no kernel. Raises `UserError` for a file that is no
    library for x86-64.
    """
    text = _text(library)
    return {name: _reached(text, name) for name in kernels if name in text.symbols}


def _text(library: Path) -> _Text:
    try:
        with library.open("rb") as file:
            elf = ELFFile(file)
            if elf["e_machine"] != X86:
                raise UserError(f"'{library}' is for {elf['e_machine']}; only code for x86-64 is disassembled.")
            section = elf.get_section_by_name(".text")
            if section is None:
                raise UserError(f"'{library}' cannot be disassembled: it has no code.")
            return _with_starts(section["sh_addr"], section.data(), _symbols(elf), _imports(elf))
    except (ELFError, OSError) as error:
        raise UserError(f"'{library}' cannot be disassembled: {error or 'it is no ELF file'}.") from error


def _symbols(elf: ELFFile) -> dict[str, int]:
    """The addresses of functions by name; none in a stripped file."""
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return {}
    functions = (symbol for symbol in table.iter_symbols() if symbol["st_info"]["type"] == "STT_FUNC")
    return {symbol.name.removeprefix(RELAX): symbol["st_value"] for symbol in functions if symbol["st_value"]}


def _with_starts(address: int, code: bytes, symbols: dict[str, int], imports: dict[int, str]) -> _Text:
    """`symbols`, and the functions without a symbol, whose addresses other functions take."""
    starts = set(symbols.values())
    for instruction in Decoder(BITS, code, ip=address):
        target = _address_in(instruction)
        if instruction.mnemonic == Mnemonic.LEA and address <= target < address + len(code):
            starts.add(target)
    return _Text(address, code, symbols, sorted(starts), imports)


def _imports(elf: ELFFile) -> dict[int, str]:
    """The names of imported functions by the address of the pointer to each, and of the stub that jumps to it."""
    names = {}
    for section in elf.iter_sections("SHT_RELA"):
        table = elf.get_section(section["sh_link"])
        if not isinstance(section, RelocationSection) or not isinstance(table, SymbolTableSection):
            continue
        for relocation in section.iter_relocations():
            if relocation["r_info_sym"]:
                names[relocation["r_offset"]] = table.get_symbol(relocation["r_info_sym"]).name
    for section in filter(None, map(elf.get_section_by_name, STUBS)):
        for instruction in Decoder(BITS, section.data(), ip=section["sh_addr"]):
            if name := names.get(_address_in(instruction)):
                names[instruction.ip // STUB * STUB] = name
    return names


def _reached(text: _Text, kernel: str) -> list[Function]:
    """The functions that are reached from `kernel` by calls and addresses, without other kernels.

    TVM's function of this name checks the arguments, and calls one that computes.
    """
    named = {address for name, address in text.symbols.items() if not name.startswith(kernel)}
    starts, found = set(text.starts), dict[int, Function]()
    todo = [text.symbols.get(f"{kernel}_compute_", text.symbols[kernel])]
    while todo:
        start = todo.pop()
        if start in found or start in named or not text.holds(start):
            continue
        instructions = text.decoded(start)
        targets = [target for instruction in instructions for target in _targets(instruction)]
        used = frozenset(text.imports[target] for target in targets if target in text.imports)
        found[start] = Function(start, tuple(instructions), used)
        todo += [target for target in targets if target in starts]
    return [found[address] for address in sorted(found)]


def _targets(instruction: Instruction) -> list[int]:
    """The addresses that an instruction jumps to or names."""
    jumps = instruction.flow_control in (FlowControl.CALL, FlowControl.UNCONDITIONAL_BRANCH)
    targets = (instruction.near_branch_target if jumps else 0, _address_in(instruction))
    return [target for target in targets if target]


def _address_in(instruction: Instruction) -> int:
    """The address of an operand that is given relative to the instruction; 0 if there is none."""
    return instruction.ip_rel_memory_address if instruction.is_ip_rel_memory_operand else 0
