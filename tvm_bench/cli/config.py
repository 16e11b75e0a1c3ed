"""Defaults of options: `tvm-bench.toml` in the current folder, and the environment.

The file has options by their long names: for all commands at the top, for one command in its table.

    threads = 2
    [bench]
    backends = "relay,onnxruntime"

$TVM_BENCH_BENCH_ROUNDS sets --rounds of `bench`. The command line comes before the environment, which comes before
the file.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..host.files import replace_with
from ..spec.errors import UserError, unknown

FILE = Path("tvm-bench.toml")
PREFIX = "TVM_BENCH"


def defaults(path: Path, commands: Mapping[str, click.Command]) -> dict[str, dict[str, Any]]:
    """The defaults in the file `path`, by command and parameter. Raises `UserError` for what no command knows."""
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}' cannot be read: {error}.") from error
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    shared = {name: value for name, value in content.items() if name not in tables}
    for name in tables:
        if name not in commands:
            raise unknown(f"command in '{path}'", name, commands)
    known = {name: _options(command) for name, command in commands.items()}
    _check(shared, {option for options in known.values() for option in options}, path)
    for name, table in tables.items():
        _check(table, known[name], path)
    return {
        name: {
            options[option].name: _text(value, options[option])
            for option, value in {**shared, **tables.get(name, {})}.items()
            if option in options
        }
        for name, options in known.items()
    }


def save(name: str, command: click.Command, arguments: list[str], path: Path) -> None:
    """Write the options among `arguments` to the table of the command `name` in the file `path`; the rest stays."""
    with click.Context(command) as context:
        values, _, order = command.make_parser(context).parse_args(list(arguments))
    given = {_long(option): values[option.name] for option in order if isinstance(option, click.Option)}
    content = tomllib.loads(path.read_text()) if path.exists() else {}
    content[name] = {**content.get(name, {}), **given}
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    lines = [_line(name, value) for name, value in content.items() if name not in tables]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(_line(option, value) for option, value in table.items())]
    with replace_with(path) as temporary:
        temporary.write_text("\n".join(lines).lstrip() + "\n")


def _options(command: click.Command) -> dict[str, click.Option]:
    return {_long(option): option for option in command.params if isinstance(option, click.Option)}


def _long(option: click.Option) -> str:
    return next(name for name in option.opts if name.startswith("--")).removeprefix("--")


def _check(table: dict[str, Any], known: Any, path: Path) -> None:
    for name in table:
        if name not in known:
            raise unknown(f"option in '{path}'", name, sorted(known))


def _text(value: Any, option: click.Option) -> Any:
    """A list stands for a comma-separated text, unless the option may be given several times."""
    return ",".join(map(str, value)) if isinstance(value, list) and not option.multiple else value


def _line(name: str, value: Any) -> str:
    return f"{name} = {json.dumps(value)}"  # of texts, numbers, booleans and lists of them, TOML is JSON
