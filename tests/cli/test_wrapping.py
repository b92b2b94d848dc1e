"""Long texts on a narrow terminal: broken between words, never within an address; unbroken off a terminal."""

import pytest

from shared.cli import console

TEXT = "http://127.0.0.1:29008/a/path/that/is/longer/than/the/terminal, 5 races with one winner each"


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_lines_break_between_words(columns: int) -> None:
    lines = console.wrapped(TEXT, 21, columns)
    assert " ".join(line.strip() for line in lines) == TEXT
    assert all(line.startswith(" " * 21) for line in lines[1:])
    assert all(len(line.strip()) <= columns - 21 for line in lines if " " in line.strip())


def test_nothing_is_wrapped_for_a_program(lipstage: object) -> None:
    assert console.wrapped(TEXT, 21, None) == [TEXT]
    assert console.width() is None, "a test has no terminal"


def test_an_error_is_wrapped_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console.error(TEXT, TEXT, [TEXT])
    assert capsys.readouterr().err.splitlines() == [f"error: {TEXT}", f"  {TEXT}", f"  {TEXT}"]
    monkeypatch.setattr(console, "width", lambda _: 40)
    console.error("one two three four five six seven eight nine ten", "a hint that is longer than the terminal is")
    assert capsys.readouterr().err.splitlines() == [
        "error: one two three four five six seven",
        "       eight nine ten",
        "  a hint that is longer than the",
        "  terminal is",
    ]
