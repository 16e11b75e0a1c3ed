"""Do repeated races agree? No variant may be clearly faster than another in one race, and clearly slower in another.

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
    """Print the number of comparisons and all contradictions. Returns the number of contradictions."""
    races = [{row.name: row for row in competitors(load(path))} for path in paths]
    shared = set.intersection(*map(set, races))
    pairs, decided, contradictions = list(combinations(sorted(shared), 2)), 0, 0
    for one, other in pairs:
        directions = [ratio(race[one].rounds, race[other].rounds, DECISION).direction for race in races]
        decided += sum(map(abs, directions))
        if {1, -1} <= set(directions):
            contradictions += 1
            words = ({1: "slower", -1: "faster", 0: "level"}[direction] for direction in directions)
            print(f"{one} beside {other}: {', '.join(words)}")
    print(
        f"{len(races)} races, {len(shared)} variants, {len(pairs)} pairs: {decided} of {len(pairs) * len(races)} "
        f"comparisons have a winner, {contradictions} pairs contradict each other"
    )
    return contradictions


if __name__ == "__main__":
    sys.exit(bool(main([Path(path) for path in sys.argv[1:]])))
