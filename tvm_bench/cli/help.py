"""A command whose help shows its options in sections."""

from __future__ import annotations

from functools import partial

import click

SECTIONS = {
    "Options": "",
    "Model and data": "--model --weights --input-shape --dim --data --inputs --normalize --recipe --task --images",
    "Build and run": "--precision --frontend --backend --calibration-images --target --batch-size --threads "
    "--require-coverage",
    "Search": "--tuner --trials --minutes --again --rpc-tracker --rpc-key",
    "Race": "--backends --rounds --samples --quick --dry-run",
    "Training": "--epochs --lr --seed --layers --teacher --teacher-weights --temperature --alpha --image-size --stages "
    "--patience --device --amp --distributed",
    "Limits": "--max-drop --max-rss --max-p95 --min-sqnr",
    "Output": "--logs --artifacts --output --plot --json --help",
}
SECTION_OF = {option: title for title, options in SECTIONS.items() for option in options.split()}
FEW = 8  # options that need no sections


class Command(click.Command):
    """Prints many options in sections, few in one list."""

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        options = [param for param in self.get_params(context) if isinstance(param, click.Option)]
        shown = [(option, record) for option in options if (record := option.get_help_record(context))]
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in SECTIONS}
        for option, record in shown:
            sections[SECTION_OF.get(option.opts[-1], "Options") if len(shown) > FEW else "Options"].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


command = partial(click.command, cls=Command)
