"""Apache TVM 0.19: from a model file to Relay IR, to a shared library, to class scores.

frontend.py (import) -> passes.py (lower, lay out) -> compiler.py (build) -> selection.py (default schedules or tuning
records) -> library.py (load and run). ir_dump.py writes the Relay IR after each step.
"""
