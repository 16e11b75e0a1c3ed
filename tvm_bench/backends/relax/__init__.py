"""TVM's second generation, Relax. These files run in the environment `relax` only (see host/environments.py)."""

from ...host import packages

# `tvm` imports torch where it can, which doubles the memory of a process; only the front end for PyTorch needs it.
with packages.hidden("torch"):
    import tvm  # noqa: F401
