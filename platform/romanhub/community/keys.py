"""Looking for keys and tokens, with Kingfisher.

It is kept by a company that needs it (MongoDB), had its last release a month before it was chosen (2.14.0), and
carries its rules with it. The other that PyPI has, detect-secrets, had its last release in May 2024. What
Kingfisher would do beyond looking - asking each service whether a key works - is turned off: nothing that people
send leaves this machine.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from kingfisher import get_binary_path

from romanhub.community.errors import UnavailableError

#: How long a look may take, in seconds. Most of it is preparing the rules: five seconds of a processor's time.
SECONDS = 100.0

#: What the rules of keys.yaml find, in words.
_OURS = {"romanhub.token": "a token of the platform", "romanhub.storage": "a temporary key of the storage"}


def find_keys(texts: list[tuple[str, str]]) -> list[str]:
    """Return what keys there are in some texts, each as where it is and what it looks like; never the key itself.

    Parameters
    ----------
    texts
        Each text with where it is, in words.

    Raises
    ------
    UnavailableError
        Where the program did not do its work: then nothing is known, and nothing may be published.
    """
    with tempfile.TemporaryDirectory() as folder, as_file(files("romanhub.community") / "keys.yaml") as rules:
        inside = Path(folder) / "texts"
        inside.mkdir()
        contents = set()
        for number, (_, text) in enumerate(texts):
            # What would make a file count as binary, which is looked at less closely, is taken out.
            clean = "".join(letter if letter >= " " or letter in "\n\t" else " " for letter in text)
            (inside / f"{number}.txt").write_text(clean, encoding="utf-8", errors="replace")
            contents.add(clean)
        command = [
            get_binary_path(),
            "scan",
            str(inside),
            "--rules-path",
            str(rules),
            "--format",
            "json",
            "--quiet",
        ]
        command += ["--no-validate", "--no-update-check", "--no-extract-archives", "--no-dedup", "--jobs", "2"]
        # Words in a line that would have the program pass over it are the author's, and do not count here.
        command += ["--git-history", "none", "--no-ignore"]
        # Prepared rules could be kept. But whoever may write them could have keys passed over.
        command += ["--no-rule-cache"]
        try:
            found = subprocess.run(
                command,
                cwd=folder,
                env={"HOME": folder, "TMPDIR": folder},
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
            report: dict[str, Any] = json.loads(found.stdout)
            looked_at = report["metadata"]["summary"]["blobs_scanned"]
            if looked_at < len(contents):
                raise ValueError(f"it looked at {looked_at} texts of {len(contents)}")
            places = {
                (int(Path(one["finding"]["path"]).stem), one["finding"]["line"], one["rule"]["name"])
                for one in report["findings"]
            }
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
            raise UnavailableError(f"The search for keys did not work: {error}") from error
    return [
        f"{texts[number][0]}, line {line}: it looks like {_OURS.get(name, f'a key of the kind {name}')}"
        for number, line, name in sorted(places)
    ]
