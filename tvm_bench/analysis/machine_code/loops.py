"""The loops of a function."""

from __future__ import annotations

from collections.abc import Sequence

from iced_x86 import FlowControl, Instruction

BRANCHES = (FlowControl.CONDITIONAL_BRANCH, FlowControl.UNCONDITIONAL_BRANCH)


def bodies(instructions: Sequence[Instruction]) -> list[tuple[Instruction, ...]]:
    """The instructions of each loop, without those of the loops in it. A loop reaches from a target to a jump back."""
    places = {instruction.ip: place for place, instruction in enumerate(instructions)}
    ends: dict[int, int] = {}
    for place, instruction in enumerate(instructions):
        if instruction.flow_control in BRANCHES:
            start = places.get(instruction.near_branch_target)
            if start is not None and start <= place:
                ends[start] = place
    owner: list[int | None] = [None] * len(instructions)
    for start, end in sorted(ends.items(), key=lambda item: item[0] - item[1]):  # the longest first
        owner[start : end + 1] = [start] * (end + 1 - start)
    return [tuple(i for i, loop in zip(instructions, owner, strict=True) if loop == start) for start in sorted(ends)]
