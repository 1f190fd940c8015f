"""Whose music a catalog holds, in the form that a model card carries."""


def _works(entries: list[dict]) -> list[str]:
    """One line a work, in order, each once."""
    lines = set()
    for entry in entries:
        package = entry["source"].split()[1] if entry["source"].startswith("Debian") else ""
        where = f", {package}" if package else ""
        lines.add(f"- {entry['title']}: {entry['credit'] or entry['artist']} ({entry['licence']}){where}")
    return sorted(lines)


def attribution(catalog: list[dict]) -> str:
    """Markdown that names every work of a catalog, its author and licence.

    Args:
        catalog: its lines, as `write` of `tracks` gives them.
    """
    trained = [entry for entry in catalog if entry["split"] == "train"]
    near = [entry for entry in trained if entry["kind"] == "near"]
    clips = [entry for entry in trained if entry["kind"] != "near"]
    measured = [entry for entry in catalog if entry["split"] == "real"]
    hours = sum(entry["seconds"] for entry in trained) / 3600
    lines = [
        f"The model was trained on {hours:.1f} hours of music, which tools/fetch_music.py collected:",
        f"{len(near)} nearly lossless songs from Debian packages and other free sources, and {len(clips)} lossless",
        "clips. The music was used under the licences that are listed here. This package contains no audio of these",
        "works. docs/model/music.md describes how the music was varied during training (speed, balance, mixes,",
        "loudness, encoding).",
        "",
        "Licence of the weights: MIT",
    ]
    for title, entries in (("Songs", near), ("Lossless clips", clips), ("Measured on, never trained on", measured)):
        if entries:
            lines += ["", f"## {title}", "", *_works(entries)]
    return "\n".join(lines) + "\n"
