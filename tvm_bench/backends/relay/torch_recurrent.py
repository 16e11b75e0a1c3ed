"""Recurrent layers of PyTorch, as far as TVM 0.19's front end reads them otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relay
from tvm.relay.frontend.common import infer_shape
from tvm.relay.frontend.pytorch import PyTorchOpConverter


def _without_dropout(tvms: Callable) -> Callable:
    """Layers whose module drops values only while it trains; TVM refuses them."""

    def convert(self: PyTorchOpConverter, *inputs: Any, dropout_p: float, **options: Any) -> Any:
        return tvms(self, *inputs, **options)

    return convert


def _flat_states(tvms: Callable) -> Callable:
    """The last states of a GRU, (layers x directions, batch, hidden); TVM's have an axis of directions."""

    def convert(self: PyTorchOpConverter, *inputs: Any, **options: Any) -> tuple[relay.Expr, relay.Expr]:
        outputs, states = tvms(self, *inputs, **options)
        return outputs, relay.reshape(states, (-1, *infer_shape(states)[-2:]))

    return convert


REPLACED: dict[str, Callable] = {
    "rnn_layers": _without_dropout,
    "lstm_layers": _without_dropout,
    "gru_layers": lambda tvms: _without_dropout(_flat_states(tvms)),
}
