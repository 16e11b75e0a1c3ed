"""Environments beside this one, for packages that cannot live in it. Standard library only.

`apache-tvm` (Relax) and the TVM of Relay are both imported as `tvm`. `make relax` builds the environment `relax` inside
this one, and the jobs of its backends run there. ExecuTorch and LiteRT (`make executorch`, `make litert`) need many
packages that nothing else here does.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from ..spec.errors import Unavailable, UserError
from . import packages


def python(name: str) -> Path:
    """The interpreter of the environment `name`.

    Raises `Unavailable` if it was not built, and `UserError` for other versions of its packages than setup.cfg pins.
    """
    path = _folder(name) / "bin" / "python"
    if not path.exists():
        raise Unavailable(f"needs an environment of its own, which is not built. Build it: make {name}")
    installed = versions(name)
    wrong = [pin for pin in packages.required(name).items() if installed.get(pin[0], "").partition("+")[0] != pin[1]]
    if wrong:
        listed = ", ".join(f"{package} {installed.get(package, '(none)')} instead of {pin}" for package, pin in wrong)
        raise UserError(f"'{_folder(name)}' has {listed}. Only the pinned versions work together. Run: make {name}")
    return path


@cache
def versions(name: str) -> dict[str, str]:
    """The versions of all packages in the environment `name`; empty if it was not built."""
    places = [str(place) for place in _folder(name).glob("lib/python*/site-packages")]
    return {found.metadata["Name"]: found.version for found in metadata.distributions(path=places)} if places else {}


def _folder(name: str) -> Path:
    return Path(sys.prefix, "environments", name)
