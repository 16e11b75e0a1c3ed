"""Do races that were run again agree? No pair of variants may be clearly faster in one, and clearly slower in another.

python benchmarks/agreement.py first.json second.json …
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

from tvm_bench.analysis.results import load
from tvm_bench.analysis.statistics import DECISION, ratio
from tvm_bench.analysis.verdict import competitors


def main(paths: list[Path]) -> int:
    """Print what was compared and each contradiction; returns how many there are."""
    races = [{row.name: row for row in competitors(load(path))} for path in paths]
    shared = set.intersection(*map(set, races))
    pairs, decided, contradictions = list(combinations(sorted(shared), 2)), 0, 0
    for one, other in pairs:
        said = [ratio(race[one].rounds, race[other].rounds, DECISION).direction for race in races]
        decided += sum(map(abs, said))
        if {1, -1} <= set(said):
            contradictions += 1
            print(f"{one} beside {other}: {', '.join({1: 'slower', -1: 'faster', 0: 'level'}[each] for each in said)}")
    print(
        f"{len(races)} races, {len(shared)} variants, {len(pairs)} pairs: {decided} of {len(pairs) * len(races)} "
        f"comparisons name a faster one, {contradictions} pairs contradict each other"
    )
    return contradictions


if __name__ == "__main__":
    sys.exit(bool(main([Path(path) for path in sys.argv[1:]])))
