"""Writes the attribution of a catalog's music in the form that a model card includes."""


def _works(entries: list[dict]) -> list[str]:
    """Returns one line for each work, sorted and without duplicates."""
    lines = set()
    for entry in entries:
        package = entry["source"].split()[1] if entry["source"].startswith("Debian") else ""
        where = f", {package}" if package else ""
        lines.add(f"- {entry['title']}: {entry['credit'] or entry['artist']} ({entry['licence']}){where}")
    return sorted(lines)


def attribution(catalog: list[dict]) -> str:
    """Returns Markdown that lists every work of a catalog with its author and licence.

    Args:
        catalog: the entries of the catalog, as `tracks.write` returns them.
    """
    trained = [entry for entry in catalog if entry["split"] == "train"]
    near = [entry for entry in trained if entry["kind"] == "near"]
    clips = [entry for entry in trained if entry["kind"] != "near"]
    measured = [entry for entry in catalog if entry["split"] == "real"]
    hours = sum(entry["seconds"] for entry in trained) / 3600
    lines = [
        f"Trained on {hours:.1f} hours of music gathered by tools/fetch_music.py ({len(near)} nearly lossless songs",
        f"out of Debian packages and other free sources, and {len(clips)} lossless clips), used under the licences of",
        "those named here. No audio of theirs is part of this package. docs/model says what the songs were changed to",
        "while training: speed, balance, mixes, loudness, encoding.",
        "",
        "Licence of the weights: MIT",
    ]
    for title, entries in (("Songs", near), ("Lossless clips", clips), ("Measured on, never trained on", measured)):
        if entries:
            lines += ["", f"## {title}", "", *_works(entries)]
    return "\n".join(lines) + "\n"
