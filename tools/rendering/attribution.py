"""Writes the attribution of the music and sounds of a rendered set in the form that a model card includes."""

from pathlib import Path

from . import soundfonts
from .sources import Source, corpus_clips
from .tracks import Plan


def _list(sources: list[Source]) -> list[str]:
    """Returns one line for each work, sorted and without duplicates."""
    return sorted({f"- {source.title}: {source.author} ({source.licence})" for source in sources})


def attribution(corpus: Path, plans: list[Plan]) -> str:
    """Returns Markdown that lists every score, clip and soundfont of these tracks with its licence.

    Args:
        corpus: folder with `midi/` and `train/`.
        plans: the plans of all tracks.
    """
    kinds = {kind: [plan for plan in plans if plan.kind == kind] for kind in ("score", "classical", "remix", "made up")}
    hours = sum(plan.duration for plan in plans) / 3600
    scores, classical = ([plan.sources[0] for plan in kinds[kind]] for kind in ("score", "classical"))
    lines = [
        f"Trained on {hours:.1f} hours of music rendered by tools/render.py ({len(plans)} tracks,",
        f"{len(kinds['score'])} from game scores, {len(kinds['classical'])} from classical scores,"
        f" {len(kinds['made up'])} composed by the program, {len(kinds['remix'])} remixes of clips) and on the clips",
        "themselves. All were used under the licences that are listed here. This package contains none of their audio.",
        "",
        "## Soundfonts",
        "",
    ]
    for name, package, author, licence in soundfonts.SOUNDFONTS + soundfonts.DRUM_KITS:
        lines.append(f"- {name} (Debian's {package}): {author} ({licence})")
    if scores:
        lines += ["", "## Game scores of the Freedoom project", "", *_list(scores)]
    if classical:
        lines += ["", "## Scores from the corpus of music21", "", *_list(classical)]
    clips = corpus_clips(corpus / "train")
    if clips:
        lines += ["", "## Clips", "", *_list(clips)]
    copying = corpus / "midi" / "COPYING.adoc"
    if scores and copying.is_file():
        lines += ["", "## Licence of the Freedoom scores", "", copying.read_text("utf-8").strip()]
    return "\n".join(lines) + "\n"
