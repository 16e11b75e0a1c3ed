"""The command line: parse, call one function, print."""

from __future__ import annotations

import sys
from typing import Any

import click

from .. import __version__
from ..host import system_errors
from ..jobs.launcher import JobError
from ..spec.errors import UserError
from . import artifacts, compilation, compression, diff, racing, training


class Commands(click.Group):
    """Prints errors that users can fix as one line, with exit code 2; errors of jobs have exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except UserError as error:
            _fail(str(error), 2)
        except JobError as error:
            _fail(str(error), 1)
        except OSError as error:
            message = system_errors.explained(error)
            if message is None and isinstance(error, NotADirectoryError | FileExistsError):
                message = f"cannot write: {error}. Give an --artifacts folder that is not one of your files."
            if message is None:
                raise
            _fail(message, 2)


def _fail(message: str, code: int) -> None:
    click.echo(f"tvm-bench: {message}", err=True)
    sys.exit(code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Compile a CNN with Apache TVM, and compare its speed fairly with other runtimes on a CPU.

    \b
    tvm-bench doctor                      check the installation
    tvm-bench bench                       build, check and race the default model
    tvm-bench bench --model mobilenet_v2 --weights random --precision fp32
    tvm-bench report artifacts/resnet18 --max-drop 0.5 --max-rss 300
    tvm-bench build --precision int8      build only artifacts/resnet18/int8-relay
    tvm-bench inspect artifacts/resnet18/int8-relay --groups
    tvm-bench run artifacts/resnet18/int8-relay shirt.png
    tvm-bench verify artifacts/resnet18/int8-relay
    tvm-bench export artifacts/resnet18/int8-relay app
    tvm-bench diff --precision int8       compare each layer with the source model
    """


for command in (
    *(
        compilation.doctor,
        compilation.models,
        compilation.build,
        compilation.tune,
        compilation.inspect,
        compilation.run,
        artifacts.list_artifacts,
        artifacts.verify,
        artifacts.export,
    ),
    *(racing.bench, racing.report, racing.compare, diff.diff),
    *(training.train, compression.compress, compression.figures, compression.operators),
):
    main.add_command(command)
