"""Whether progress is shown: the choice of `tvm-bench --quiet`, which jobs inherit. Standard library only."""

VARIABLE = "TVM_BENCH_QUIET"  # in the environment
