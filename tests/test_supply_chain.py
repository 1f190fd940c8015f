"""Tests that the lock file fits setup.cfg, and that the bill of materials and the page of licences match it."""

import json
import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LICENCES = runpy.run_path(str(ROOT / "tools" / "licences.py"))
PINNED = LICENCES["pinned"]()
# The values of the markers on the system for which the lock file is made.
SYSTEM = {
    "python_version": "3.11", "python_full_version": "3.11.7", "platform_system": "Linux", "platform_machine": "x86_64",
    "sys_platform": "linux", "os_name": "posix", "implementation_name": "cpython", "extra": "",
}  # fmt: skip


def reference_extras() -> list[str]:
    shell = 'source tools/environment.sh; echo "$REFERENCE_EXTRAS"'
    return subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def test_every_range_of_setup_cfg_holds_what_is_pinned():
    declared = LICENCES["declared"]()
    for extra in (LICENCES["BASE"], *reference_extras()):
        for requirement in declared[extra]:
            if requirement.marker is not None and not requirement.marker.evaluate(SYSTEM):
                continue
            name = canonicalize_name(requirement.name)
            assert name in PINNED, f"{name} of {extra} is not pinned: run tools/lock.sh"
            assert Version(PINNED[name]) in requirement.specifier, f"{name}=={PINNED[name]} of {extra}: tools/lock.sh"


def test_every_pin_has_hashes_and_nothing_comes_from_elsewhere():
    text = (ROOT / "requirements" / "reference.txt").read_text("utf-8")
    blocks = re.split(r"\n(?=\S)", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    assert len(blocks) == len(PINNED) > 100
    for block in blocks:
        assert re.fullmatch(
            r"[a-z0-9.-]+==\S+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n?)+", block.rstrip() + "\n"
        ), block
    assert "://" not in text
    assert "--index" not in text and "--find-links" not in text and "-e " not in text


def test_the_bill_of_materials_is_of_the_lock_file():
    bill = json.loads((ROOT / "requirements" / "sbom.json").read_text("utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    found = {canonicalize_name(part["name"]): part["version"] for part in bill["components"]}
    assert found == PINNED, "run tools/supply.sh"
    purls = [Requirement(part["purl"].removeprefix("pkg:pypi/").replace("@", "==")) for part in bill["components"]]
    assert {canonicalize_name(purl.name): str(purl.specifier)[2:] for purl in purls} == PINNED
    assert sum(bool(part.get("licenses")) for part in bill["components"]) > 0.9 * len(PINNED)
    assert str(ROOT) not in json.dumps(bill) and "file:" not in json.dumps(bill)


def test_the_page_of_licences_is_of_the_lock_file():
    page = (ROOT / "docs" / "licences.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| ([a-z0-9.-]+) \| (\d\S*) \|", page, re.MULTILINE))
    assert rows == PINNED, "run tools/supply.sh"
    assert "not said" not in page and "UNKNOWN" not in page


def test_nothing_that_the_wheel_needs_is_under_the_gpl_unawares():
    found = LICENCES["base_copyleft"]()
    assert set(found) <= set(LICENCES["COPYLEFT"]), found
    page = (ROOT / "docs" / "licences.md").read_text("utf-8")
    assert all(f"- **{name}**: {LICENCES['COPYLEFT'][name]}" in page for name in found)


@pytest.mark.parametrize(
    ("said", "copyleft"),
    [
        ("GPL-3", True), ("GPL-2.0-or-later", True), ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0", True),
        ("LGPL-2.1-or-later", False), ("GNU Lesser General Public License v3 (LGPLv3)", False), ("MIT", False),
        ("Apache-2.0 OR BSD-3-Clause", False), ("MPL-2.0 AND MIT", False),
    ],
)  # fmt: skip
def test_what_counts_as_copyleft(said, copyleft):
    assert LICENCES["is_copyleft"](said) is copyleft


def test_a_file_with_another_hash_is_not_installed(tmp_path):
    """With --require-hashes, pip refuses a file with another hash. The test makes a package, so it needs no network."""
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("needs pip")
    wheel = tmp_path / "nothing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("nothing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: nothing\nVersion: 1.0\n")
        archive.writestr(
            "nothing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("nothing-1.0.dist-info/RECORD", "")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"nothing==1.0 --hash=sha256:{'0' * 64}\n")
    command = [*pip, "install", "--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / "there")]
    done = subprocess.run([*command, "--require-hashes", "-r", str(lock)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "there").exists()
