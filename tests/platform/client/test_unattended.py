"""Notebooks that run without a person, in a real kernel."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("nbclient", reason="the notebook's side is tested in the analysis environment")

import nbformat
from romanhub.client.unattended import carry_out, keep, run_notebook
from romanhub.models.runs import LONGEST_ERROR, Purpose, Task, run_of, server_of, short


def write(path, *cells, kernel="python3"):
    """A notebook with a line of text and these code cells."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": kernel, "display_name": kernel}})
    notebook.cells = [nbformat.v4.new_markdown_cell("# A notebook"), *map(nbformat.v4.new_code_cell, cells)]
    nbformat.write(notebook, path)
    return path


def run(path, *, seconds=120, output_bytes=1_000_000):
    return run_notebook(path, seconds=seconds, output_bytes=output_bytes)


def test_what_passes_says_what_it_took(tmp_path):
    notebook, report = run(write(tmp_path / "a.ipynb", "block = bytearray(80_000_000)", "print(len(block))"))
    assert report.passed and report.error is None and report.failed_cell is None
    assert report.seconds > 0
    assert report.peak_bytes > 80_000_000
    assert notebook.cells[2].outputs[0].text == "80000000\n"


def test_memory_that_a_cell_had_for_a_moment_is_told(tmp_path):
    _, report = run(write(tmp_path / "a.ipynb", "len(b'x' * 80_000_000)"))
    assert report.passed
    assert report.peak_bytes > 80_000_000


def test_what_fails_says_which_cell_and_how(tmp_path):
    # Before: the cell of text is none that could fail, and is not counted.
    _, report = run(write(tmp_path / "a.ipynb", "x = 1", "raise ValueError('no such\\nfilter')", "x = 2"))
    assert not report.passed
    assert report.failed_cell == 2
    assert report.error == "ValueError: no such filter"


def test_a_key_in_an_error_is_not_told(tmp_path):
    key = "AKIA0123456789abcdefGHIJ"
    _, report = run(write(tmp_path / "a.ipynb", f"raise RuntimeError('key {key} was refused')"))
    assert report.error == "RuntimeError: key … was refused"
    assert key not in report.model_dump_json()


def test_a_cell_that_never_ends_is_ended(tmp_path):
    _, report = run(write(tmp_path / "a.ipynb", "1", "while True: pass"), seconds=5)
    assert not report.passed
    assert report.failed_cell == 2
    assert "longer than the 5 seconds" in report.error


@pytest.mark.parametrize(
    "cell",
    [
        "while True: print('x' * 1000)",
        # One that takes no interrupt for an answer.
        "while True:\n    try:\n        print('x' * 1000)\n    except KeyboardInterrupt:\n        pass",
    ],
)
def test_a_cell_that_writes_without_end_is_ended(tmp_path, cell):
    notebook, report = run(write(tmp_path / "a.ipynb", cell), output_bytes=200_000)
    assert not report.passed
    assert report.failed_cell == 1
    assert "more than the 200,000 bytes" in report.error
    assert len(nbformat.writes(notebook)) < 500_000


def test_a_kernel_that_dies_is_told(tmp_path):
    _, report = run(write(tmp_path / "a.ipynb", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert not report.passed
    assert report.failed_cell == 1
    assert "kernel ended" in report.error


def test_no_notebook_and_no_kernel_are_told(tmp_path):
    (tmp_path / "text.ipynb").write_text("{not json")
    assert "no notebook that can be run" in run(tmp_path / "text.ipynb")[1].error
    assert "There is no notebook gone.ipynb" in run(tmp_path / "gone.ipynb")[1].error
    report = run(write(tmp_path / "julia.ipynb", "1", kernel="julia-1.10"))[1]
    assert report.error == "This environment has no kernel julia-1.10."
    assert report.failed_cell is None


def task(notebook, **more):
    return Task(id=7, purpose=Purpose.OWN, notebook=notebook, seconds=120, output_bytes=1_000_000, **more)


def test_the_result_is_beside_the_notebook_and_overwrites_nothing(tmp_path):
    (tmp_path / "work").mkdir()
    source = write(tmp_path / "work" / "a.ipynb", "open('made', 'w').write('x')", "print('done')")
    before = source.read_bytes()
    taken = tmp_path / "work" / "a.run-7.ipynb"
    taken.write_text("somebody's")

    report = carry_out(task("work/a.ipynb"), tmp_path, {"ROMANHUB_ENVIRONMENT": "roman-1234"})

    assert report.passed and report.image_digest == "roman-1234"
    assert report.result == "work/a.run-7-1.ipynb"
    assert source.read_bytes() == before
    assert taken.read_text() == "somebody's"
    assert "done" in (tmp_path / "work" / "a.run-7-1.ipynb").read_text()
    # It worked in the notebook's folder.
    assert (tmp_path / "work" / "made").exists()


def test_what_failed_is_kept_too(tmp_path):
    write(tmp_path / "a.ipynb", "print('as far as here')", "1 / 0")
    report = carry_out(task("a.ipynb"), tmp_path, {})
    assert not report.passed and report.failed_cell == 2
    assert "as far as here" in (tmp_path / report.result).read_text()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_result_that_cannot_be_written_is_a_failure(tmp_path):
    write(tmp_path / "a.ipynb", "1")
    tmp_path.chmod(0o500)
    report = carry_out(task("a.ipynb"), tmp_path, {})
    assert not report.passed and "could not be written" in report.error


def test_a_shared_notebook_is_put_there_first(tmp_path):
    content = write(tmp_path / "x", "print(6 * 7)").read_text()
    home = tmp_path / "home"
    home.mkdir()
    report = carry_out(task("entry.ipynb", content=content), home, {})
    assert report.passed and report.result is None
    assert [path.name for path in home.glob("*.ipynb")] == ["entry.ipynb"]


def test_there_is_room_for_a_result_until_there_is_none(tmp_path):
    source = write(tmp_path / "a.ipynb", "1")
    notebook = nbformat.read(source, as_version=4)
    names = {keep(notebook, source, 3).name for _ in range(100)}
    assert len(names) == 100
    with pytest.raises(FileExistsError):
        keep(notebook, source, 3)


@pytest.mark.parametrize(
    "path", ["../a.ipynb", "/a.ipynb", ".a.ipynb", "a/../b.ipynb", "a//b.ipynb", "a\\b.ipynb", "a"]
)
def test_a_path_leaves_no_home(path):
    with pytest.raises(ValueError):
        task(path)


def test_servers_of_runs_have_names_of_their_own():
    assert run_of(server_of(12)) == 12
    assert all(run_of(name) is None for name in ("", "run-", "run-0", "run-01", "run-1x", "my-run-1", "run-1/"))


def test_errors_are_short_lines():
    assert short("\x1b[31mred\x1b[0m\n  and   blue") == "red and blue"
    assert len(short("x " * 1000)) == LONGEST_ERROR
    # Names that people give to things stay.
    assert short("KeyError: 'a_rather_long_column_name'") == "KeyError: 'a_rather_long_column_name'"
