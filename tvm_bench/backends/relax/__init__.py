"""TVM's second generation, Relax. These files run in the environment `relax` only (see host/environments.py)."""
