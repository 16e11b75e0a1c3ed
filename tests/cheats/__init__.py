"""Backends that cheat, crash or hang, each a module with `load` as any other. ONNX Runtime does the honest part."""
