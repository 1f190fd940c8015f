"""Reduces a CycloneDX bill of materials to names, versions, licences and dependencies.

    python tools/sbom.py requirements/sbom.json

cyclonedx-py also writes home pages and descriptions, which are four fifths of the file, and local paths.
"""

import json
import sys
from pathlib import Path

KEPT = ("bom-ref", "licenses", "name", "purl", "type", "version")


def main() -> None:
    path = Path(sys.argv[1])
    bill = json.loads(path.read_text("utf-8"))
    # pip only installed the packages, and our own package is not one of its dependencies.
    parts = [part for part in bill["components"] if part["name"] not in ("pip", "keras_audiosr", "keras-audiosr")]
    kept = {part["bom-ref"] for part in parts}
    bill["components"] = [{key: part[key] for key in KEPT if key in part} for part in parts]
    bill["dependencies"] = [edge for edge in bill.get("dependencies", []) if edge["ref"] in kept]
    bill["metadata"] = {"component": {"type": "library", "name": "keras_audiosr reference environment"}}
    path.write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n", "utf-8")
    print(f"{path}: {len(parts)} components, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
