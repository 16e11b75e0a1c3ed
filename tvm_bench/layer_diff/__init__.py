"""Compares a compiled model with its source layer by layer, every layer fed with what the source computed.

onnx_layers.py / torch_layers.py (find layers) -> severed models -> builds.py (compile, run) -> numbers.py (errors)
-> faults.py (kinds of faults) -> search.py (the smallest failing part).
"""
