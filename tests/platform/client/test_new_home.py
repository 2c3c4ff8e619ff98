"""A new home begins with the welcome notebook, and only a new one."""

from __future__ import annotations

import json
from pathlib import Path

from romanhub.client.new_home import begin


def test_a_new_volume_has_the_welcome_notebook_after_the_first_start(tmp_path: Path) -> None:
    # What a file system and the server itself have put there by then.
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".jupyter").mkdir()
    assert begin(tmp_path)
    assert json.loads((tmp_path / "welcome.ipynb").read_text())["nbformat"] == 4


def test_what_its_owner_has_removed_does_not_come_back(tmp_path: Path) -> None:
    (tmp_path / "thesis.ipynb").touch()
    assert not begin(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["thesis.ipynb"]
