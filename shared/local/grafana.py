"""Grafana beside the local stack: the committed dashboards on the local Tempo and Prometheus."""

from pathlib import Path

from shared.local.configurations import configuration, digest
from shared.local.errors import StackCode
from shared.local.ports import HOST
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack

NAME = "grafana"
COMMANDS = ("grafana", "grafana-server")
PORTS = ("grafana",)
READY = "/api/health"
FAILED = StackCode.GRAFANA_FAILED
WITHOUT = "import deploy/grafana/dashboards into your own"
HOME = Path("/usr/share/grafana")
"""Where packages of Linux distributions put what the program needs; an unpacked archive has it around `bin`."""
ABSENT = "http://127.0.0.1:1"
"""Address of a data source that does not run here: its panels show an error, and the others work."""


def program(settings: LocalSettings, stack: Stack) -> Program:
    """Grafana's program: no login, since only this machine reaches it, and no request to any other machine."""
    data = settings.state / "grafana"
    data.mkdir(parents=True, exist_ok=True)
    provisioning = configuration("grafana/provisioning")
    dashboards = configuration("grafana/dashboards")
    binary = stack.programs[NAME].resolve()
    files = sorted(path for folder in (provisioning, dashboards) for path in folder.rglob("*") if path.is_file())
    environment = {
        "GF_PATHS_DATA": str(data),
        "GF_PATHS_LOGS": str(data / "log"),
        "GF_PATHS_PLUGINS": str(data / "plugins"),
        "GF_PATHS_PROVISIONING": str(provisioning),
        "GF_SERVER_HTTP_ADDR": HOST,
        "GF_SERVER_HTTP_PORT": str(stack.ports["grafana"]),
        "GF_SECURITY_COOKIE_SAMESITE": "strict",
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Editor",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
        "GF_LOG_MODE": "console",
        "GF_LOG_LEVEL": "warn",
        "DASHBOARDS_DIR": str(dashboards),
        "TEMPO_URL": stack.url("tempo") or ABSENT,
        "PROMETHEUS_URL": stack.url("prometheus") or ABSENT,
        "CONFIGURATION": digest(*files),
    }
    command = (str(binary), "server") if binary.name == "grafana" else (str(binary),)
    return Program(NAME, (*command, "--homepath", str(home(binary))), environment, stop_seconds=10)


def home(binary: Path) -> Path:
    """The folder with Grafana's pages and default settings."""
    around = binary.parent.parent
    return around if (around / "conf" / "defaults.ini").is_file() else HOME
