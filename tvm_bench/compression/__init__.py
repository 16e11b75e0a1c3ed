"""Compression: model -> model, one file per technique."""
