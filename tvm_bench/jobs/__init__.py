"""The process boundary: each step runs as a job, in a process of its own.

`launcher.py` and `receipts.py` run in the parent; `worker.py` and `verbs/` run in the child.
"""
