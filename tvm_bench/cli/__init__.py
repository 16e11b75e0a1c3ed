"""The command line: parse, call one function, print."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

from .. import __version__
from ..host import quiet as quiet_choice
from ..host import system_errors
from ..jobs.launcher import JobError
from ..spec.errors import UserError
from . import artifacts, compilation, compression, config, diff, racing, sensitivity, training

GROUPS = {
    "Race": (racing.bench, racing.report, racing.compare),
    "Compile": (compilation.build, compilation.tune, compilation.inspect, compilation.explain, diff.diff),
    "Compress and train": (
        compression.compress,
        sensitivity.sensitivity,
        training.train,
        compression.figures,
        compression.operators,
    ),
    "Deploy": (artifacts.list_artifacts, artifacts.verify, compilation.run, artifacts.export, artifacts.clean),
    "Set up": (compilation.doctor, compilation.models),
}
LONGEST_HELP = 88  # characters
INTERRUPTED = 130  # the exit code of shells for Ctrl-C


class Commands(click.Group):
    """Prints errors that users can fix as one line, with exit code 2; errors of jobs have exit code 1."""

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(context, args)
        if name and command and (path := context.params.get("save_config")):
            command.make_context(name, list(rest), parent=context)  # refuses bad input before anything is written
            config.save(name, command, rest, path)
        return name, command, rest

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(c.name or "", c.get_short_help_str(LONGEST_HELP)) for c in commands])

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except UserError as error:
            _fail(str(error), 2)
        except JobError as error:
            _fail(str(error), 1)
        except KeyboardInterrupt:
            _fail("stopped. Steps that were finished are kept: the same command goes on after them.", INTERRUPTED)
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


SETTINGS = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 110,
    "auto_envvar_prefix": config.PREFIX,
}


@click.group(cls=Commands, context_settings=SETTINGS)
@click.version_option(__version__)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("-v", "--verbose", is_flag=True, help="Print each job: its log, its time, and whether it was reused.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"A file with defaults of options.  [default: {config.FILE}, if there is one]",
)
@click.option(
    "--save-config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the options of this call to FILE, as defaults of its command.",
)
@click.pass_context
def main(
    context: click.Context, quiet: bool, verbose: bool, config_file: Path | None, save_config: Path | None
) -> None:
    """Compile a CNN with Apache TVM, and compare its speed fairly with other runtimes on a CPU.

    \b
    tvm-bench doctor                      check the installation
    tvm-bench bench --quick               a first answer for the default model
    tvm-bench bench                       build, check and race it
    tvm-bench bench --model mobilenet_v2 --weights random --precision fp32
    tvm-bench report artifacts/resnet18 --max-drop 0.5 --max-rss 300
    tvm-bench build --precision int8      build only artifacts/resnet18/int8-relay
    tvm-bench inspect artifacts/resnet18/int8-relay --groups
    tvm-bench run artifacts/resnet18/int8-relay shirt.png
    tvm-bench verify artifacts/resnet18/int8-relay
    tvm-bench export artifacts/resnet18/int8-relay app
    tvm-bench diff --precision int8       compare each layer with the source model
    tvm-bench --save-config tvm-bench.toml bench --threads 2 --rounds 3
    """
    os.environ[quiet_choice.VARIABLE] = "1" if quiet else ""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("tvm_bench").setLevel(logging.INFO if verbose else logging.WARNING)
    if config_file or config.FILE.exists():
        context.default_map = config.defaults(config_file or config.FILE, main.commands)


for command in (command for group in GROUPS.values() for command in group):
    main.add_command(command)
