"""Views of a built artifact. Part of the parent: imports neither tvm nor torch."""
