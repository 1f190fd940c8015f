"""Two thousand damaged files through probe, restore, encode and the loaders; tools/fuzz.py says what must hold."""

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_model import tiny_export

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_two_thousand_damaged_files(tmp_path, capsys):
    command = [
        sys.executable,
        ROOT / "tools" / "fuzz.py",
        "--count",
        "2000",
        "--seed",
        "0",
        "--keep",
        tmp_path / "kept",
    ]
    # Without the training side of an export, which nobody damages.
    done = subprocess.run([*command, "--model", tiny_export()], capture_output=True, text=True, check=False)
    with capsys.disabled():
        print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]


def test_a_fault_is_found(tmp_path, monkeypatch):
    """A broken rule is noticed: here, the rule that a truncated WAV file gives a warning."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from fuzzing.cases import Broken, Cases, make_seeds

    from keras_audiosr.files import scan

    make_seeds(tmp_path, tiny_export())
    cases = Cases(tmp_path, 0)
    number = next(
        number
        for number in range(100_000)
        for target, name, damage, damaged, _ in [cases.draw(number)]
        if (target, name, damage) == ("restore", "music/a.wav", "truncate")
        and 0.3 < len(damaged) / (tmp_path / name).stat().st_size < 0.45
    )
    folder = tmp_path / "case"
    folder.mkdir()
    assert cases.run(number, folder) == "warned"
    (folder / "out.flac").unlink()
    monkeypatch.setattr(scan, "scan_iff", lambda path: [])
    with pytest.raises(Broken, match="half of the music is lost"):
        cases.run(number, folder)
