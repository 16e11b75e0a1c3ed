"""What Python code calls: one function for each command. `tvm_bench` has all of them by name."""
