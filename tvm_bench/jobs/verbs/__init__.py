"""The verbs that a job can run: one module per verb, with a function `run(**request) -> dict`.

Arguments and result can be written as JSON. The entry `outputs` of the result lists the files that the verb wrote.
"""
