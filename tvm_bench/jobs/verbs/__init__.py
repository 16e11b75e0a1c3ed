"""What a job can do: one module for each verb, with a function `run(**request) -> dict`.

Arguments and result are JSON-able. The files that a verb wrote are listed under `outputs`.
"""
