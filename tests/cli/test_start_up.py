import subprocess
import sys


def test_declaring_the_commands_imports_nothing_slow() -> None:
    """Start-up is fast only while slow imports wait until a command runs."""
    heavy = "{'boto3', 'confluent_kafka', 'opentelemetry', 'pydantic', 'numpy', 'rich.live', 'shared.local.stack'}"
    code = f"import sys, shared.cli.main; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
