"""The list of source files in CONTRIBUTING.md."""

from pathlib import Path

from tools.code_index import PAGE, ROOT, files, page, summary


def test_list_of_files_is_current() -> None:
    text = PAGE.read_text()
    assert page(text) == text, "run `python -m tools.code_index`"


def test_every_file_says_what_it_is_about() -> None:
    assert [path for path in files(ROOT / "shared") if len(summary(path)) < 15] == []


def test_summary_is_the_first_sentence(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text("'''First: `a` | ``b``\nof two lines. Second.\n\nMore.\n'''\n")
    assert summary(path) == "First: `a` \\| `b` of two lines"
