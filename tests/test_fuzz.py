"""Tests probe, restore, encode and the loaders with two thousand damaged files.

tools/fuzz.py describes the rules that must hold.
"""

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
    # The tiny model is much faster than the default, the bundled model.
    done = subprocess.run([*command, "--model", tiny_export()], capture_output=True, text=True, check=False)
    with capsys.disabled():
        print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]


def test_a_fault_is_found(tmp_path, monkeypatch):
    """The fuzzer must notice a broken rule. Here it is the rule that a truncated WAV file causes a warning."""
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
