# SPDX-License-Identifier: Apache-2.0
"""The Ignition config of the guest: the project's own snippet, completed as an operator would complete it.

Its example driver files and keys are replaced by ours; all else (units, directories) stays as shipped.
"""

import base64
import json
from pathlib import Path

from . import places

# What an operator replaces; everything else in the snippet is used as it is.
REPLACED = "/etc/modulus/"


def file_entry(path: str, text: str, mode: int = 0o644) -> dict:
    encoded = base64.b64encode(text.encode()).decode()
    return {"path": path, "mode": mode, "overwrite": True, "contents": {"source": f"data:;base64,{encoded}"}}


def config(files: dict[str, str]) -> dict:
    """The snippet with `files` (path -> text) in place of its own files below /etc/modulus."""
    merged = json.loads(places.IGNITION_SNIPPET.read_text())
    storage = merged.setdefault("storage", {})
    kept = [entry for entry in storage.get("files", []) if not entry["path"].startswith(REPLACED)]
    storage["files"] = kept + [file_entry(path, text) for path, text in sorted(files.items())]
    return merged


def write(path: Path, files: dict[str, str]) -> Path:
    path.write_text(json.dumps(config(files)))
    return path
