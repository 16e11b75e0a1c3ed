"""Step 3: write a network as a file that a runtime can open."""
