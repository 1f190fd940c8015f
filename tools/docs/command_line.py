"""Writes the reference page of the command line from the parsers."""

import argparse

from keras_audiosr.cli import PROGRAM, VERBS, build_parser


def page() -> str:
    """Returns Markdown with every verb, its usage, and a table of its arguments."""
    parts = [
        "# Command line",
        f"`{PROGRAM} VERB --help` prints the same text. The exit codes are: 0 success, 1 something failed, 2 wrong"
        " usage, 3 the output exists, 130 interrupted.",
    ]
    for verb in VERBS:
        parts += _describe(_subparser(build_parser(verb), verb), level=2)
    return "\n\n".join(parts) + "\n"


def _subparser(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    return _verbs(parser)[name]


def _verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    actions = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return next((dict(action.choices) for action in actions), {})


def _describe(parser: argparse.ArgumentParser, level: int) -> list[str]:
    parts = [f"{'#' * level} {parser.prog.removeprefix(f'{PROGRAM} ')}", parser.description or ""]
    formatter = argparse.HelpFormatter(parser.prog, width=80)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    parts.append(f"```text\n{formatter.format_help().strip()}\n```")
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if _is_told(action)]
        if not actions:
            continue
        if group.title not in ("positional arguments", "options"):
            parts.append(f"*{group.title}*")
        rows = [f"| {_name(action)} | {_help(parser, action)} |" for action in actions]
        kind = "option" if actions[0].option_strings else "argument"
        parts.append("\n".join([f"| {kind} | |", "|---|---|", *rows]))
    for verb in _verbs(parser).values():
        parts += _describe(verb, level + 1)
    return [part for part in parts if part]


def _is_told(action: argparse.Action) -> bool:
    hidden = argparse._HelpAction | argparse._SubParsersAction
    return action.help is not argparse.SUPPRESS and not isinstance(action, hidden)


def _name(action: argparse.Action) -> str:
    value = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest)
    if isinstance(value, tuple):
        value = " ".join(value)
    if not action.option_strings:
        return f"`{value}`"
    shown = ", ".join(f"`{option}`" for option in action.option_strings)
    value = value if action.metavar or action.choices else value.upper()
    return (shown if action.nargs == 0 else f"{shown} `{value}`").replace("|", "\\|")


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    # Characters that have a meaning in Markdown are escaped.
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;").replace("_", "\\_")
