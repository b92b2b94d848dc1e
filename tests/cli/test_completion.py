"""Shell completion, in a real bash with the script that `lipstage --show-completion` prints."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

DRIVER = """
source <(lipstage --show-completion)
function=$(complete -p lipstage | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
$function "$1"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """A folder with the program, started as the launcher of the Makefile starts it."""
    program = tmp_path / "bin" / "lipstage"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from shared.cli.main import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    return program.parent


def bash(launcher: Path, script: str, *arguments: str) -> str:
    home = launcher.parent / "home"
    home.mkdir(exist_ok=True)
    ran = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", script, "bash", *arguments],
        env={"PATH": f"{launcher}:/usr/bin:/bin", "HOME": str(home)}, cwd=home, capture_output=True, text=True,
        timeout=100,
    )  # fmt: skip
    assert ran.stderr == ""
    return ran.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ren"], {"render"}),
        ([""], {"demo", "render", "submit", "up", "fetch", "weights"}),
        (["weights", "c"], {"check", "convert"}),
        (["render", "--en"], {"--engine"}),
        (["render", "--engine", ""], {"puppet", "sonic"}),
        (["render", "--set", "he"], {"head_motion="}),
        (["submit", "--engine", "sonic", "--set", "audio"], {"audio_guidance=", "audio_scale="}),
        (["stage", "e"], {"encode"}),
        (["stage", "infer", "--engine", "s"], {"sonic"}),
        (["weights", "check", "--engine", "s"], {"sonic"}),
        (["fetch", "a-job", "--po"], {"--poster"}),
        (["render", "--engine", "no-such-engine", "--set", "see"], {"seed="}),
    ],
)
def test_bash_completes_commands_options_engines_and_parameters(
    launcher: Path, words: list[str], expected: set[str]
) -> None:
    completed = set(bash(launcher, DRIVER, "lipstage", *words).split())
    assert expected <= completed
    assert all(word.startswith(words[-1]) for word in completed)


def test_completion_is_installed_for_the_shell_that_asks(launcher: Path) -> None:
    assert "bash completion installed" in bash(launcher, "lipstage --install-completion; true")
    home = launcher.parent / "home"
    script = (home / ".bash_completions" / "lipstage.sh").read_text()
    assert "complete -o default -F _lipstage_completion lipstage" in script
    assert str(home / ".bash_completions" / "lipstage.sh") in (home / ".bashrc").read_text()


def test_completion_imports_nothing_slow() -> None:
    code = (
        "import sys; from types import SimpleNamespace as S; from shared.cli.commands import completion;"
        "completion.engines(''); completion.parameters(S(params={'engine': None}), '');"
        "print(sorted({'boto3', 'confluent_kafka', 'opentelemetry', 'shared.client'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
