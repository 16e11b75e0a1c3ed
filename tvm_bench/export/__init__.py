"""Step 3: a network becomes a file that a runtime opens."""
