"""Looking into a built artifact. The parent's side: imports neither tvm nor torch."""
