"""Writes the attribution of a catalog's music in the form that a model card includes."""

_MEASURED = "Used for measuring, not for training"


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
        f"The model was trained on {hours:.1f} hours of music, which tools/fetch_music.py collected:",
        f"{len(near)} nearly lossless songs from Debian packages and other free sources, and {len(clips)} lossless",
        "clips. The music was used under the licences that are listed here. This package contains no audio of these",
        "works. docs/model/music.md describes how the music was varied during training (speed, balance, mixes,",
        "loudness, encoding).",
        "",
        "Licence of the weights: MIT",
    ]
    for title, entries in (("Songs", near), ("Lossless clips", clips), (_MEASURED, measured)):
        if entries:
            lines += ["", f"## {title}", "", *_works(entries)]
    return "\n".join(lines) + "\n"
