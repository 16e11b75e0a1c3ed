"""Apache TVM 0.19: from a file to Relay IR, to a shared library, to answers.

frontend.py (import) -> passes.py (lower and lay out) -> library.py (build, save, load); stages.py writes what happened.
"""
