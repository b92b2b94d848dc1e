"""supervisord: its configuration, its start, and a typed client of its control socket."""

import http.client
import os
import shlex
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from shared.local import processes
from shared.local.errors import StackCode, StackError
from shared.local.program import Program
from shared.local.variables import passed_on

LAUNCHER = Path(__file__).with_name("pdeathsig_launcher.py")
ENDED = ("STOPPED", "EXITED", "FATAL")
KILL_S = 15.0
"""Time limit for the end of a program that the supervisor has killed after its own time to stop."""
POLL_S = 0.05

HEAD = """\
[supervisord]
logfile=../logs/supervisord.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile=supervisord.pid
childlogdir=../logs
umask=077
silent=true

[unix_http_server]
file={socket}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

PROGRAM = """
[program:{name}]
command={command}
redirect_stderr=true
stdout_logfile=../logs/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
autostart=true
autorestart=true
startsecs=1
startretries=10
stopsignal=TERM
stopwaitsecs={stop_seconds}
killasgroup=true
"""

FAULTS = (OSError, http.client.HTTPException, xmlrpc.client.Error)
"""Exceptions of a call over the control socket: the supervisor has ended, hangs or refuses."""


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """The supervisor's environment, which its programs inherit as long as it runs.

    Without the variables that each `up` writes to the programs: one that a later `up` does not set would stay.
    """
    return {name: value for name, value in environment.items() if not passed_on(name)}


@dataclass(frozen=True, slots=True)
class Supervised:
    """A program in the supervisor: state RUNNING, STARTING, BACKOFF, FATAL, ...; pid 0 when it does not run."""

    name: str
    state: str
    pid: int
    started: int
    detail: str


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The supervisor of one stack: its files and its requests."""

    run: Path
    logs: Path
    socket: Path
    secrets: Path
    mark: str

    @property
    def pidfile(self) -> Path:
        """The file with supervisord's pid; `pdeathsig_launcher` checks its parent against it."""
        return self.run / "supervisord.pid"

    @property
    def configuration(self) -> Path:
        """The generated configuration; holds no secrets."""
        return self.run / "supervisord.ini"

    def responds(self) -> bool:
        """Whether a supervisor answers on the socket and accepts requests."""
        try:
            return bool(self._call(2.0).supervisor.getState()["statename"] == "RUNNING")
        except FAULTS:
            return False

    def write(self, programs: Sequence[Program]) -> None:
        """Write the configuration and one file per program, and remove the files of previous programs.

        Paths are relative to the run folder: supervisord expands some values twice, so that a ``%`` in the path of the
        state folder can't be escaped.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        folder = self.run / "programs"
        folder.mkdir(exist_ok=True)
        text = HEAD.format(socket=_ini(os.path.relpath(self.socket, self.run)))
        current: set[Path] = set()
        for program in programs:
            file = program.write(folder, cwd=self.run, secrets=self.secrets, supervisor=self.pidfile)
            current.add(file)
            command = _ini(shlex.join([sys.executable, "-S", str(LAUNCHER), f"programs/{file.name}"]))
            text += PROGRAM.format(name=program.name, command=command, stop_seconds=program.stop_seconds)
        self.configuration.write_text(text)
        for old in set(folder.iterdir()) - current:
            old.unlink()

    def start(self) -> None:
        """Start supervisord as a daemon with the written configuration. Raises StackError (SUPERVISOR_FAILED)."""
        self.socket.unlink(missing_ok=True)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.configuration)]
        environment = inherited(os.environ) | {processes.MARK: self.mark}
        log = self.logs / "supervisord.out"
        with log.open("wb") as out:
            result = subprocess.run(
                command,
                env=environment,
                cwd=self.run,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                check=False,
            )
        if result.returncode != 0:
            output = log.read_text(errors="replace").strip().splitlines()
            reason = output[-1] if output else f"exit code {result.returncode}"
            raise StackError(StackCode.SUPERVISOR_FAILED, f"the supervisor did not start: {reason}")

    def apply(self) -> None:
        """Have the running supervisor read the written configuration; only changed programs are restarted.

        Raises StackError (SUPERVISOR_FAILED).
        """
        try:
            self._apply()
        except FAULTS as error:
            raise StackError(
                StackCode.SUPERVISOR_FAILED, f"the supervisor did not apply the configuration: {error}"
            ) from error

    def _apply(self) -> None:
        call = self._call(30.0).supervisor
        times = self._stop_times()  # reloadConfig forgets those of removed programs.
        added, changed, removed = cast("list[list[str]]", call.reloadConfig()[0])
        self._stop((*changed, *removed), times)
        for name in (*changed, *removed):
            call.removeProcessGroup(name)
        for name in (*changed, *added):
            call.addProcessGroup(name)
        for program in self.programs():
            if program.state in ENDED:
                call.startProcess(program.name, False)

    def programs(self) -> list[Supervised]:
        """All programs. Raises one of FAULTS when the supervisor does not answer."""
        infos = cast("list[dict[str, Any]]", self._call(5.0).supervisor.getAllProcessInfo())
        return [Supervised(i["name"], i["statename"], i["pid"], i["start"], i["description"]) for i in infos]

    def stop(self, names: Sequence[str]) -> None:
        """Stop these programs concurrently and wait until each has ended (SIGKILL after its stop time)."""
        self._stop(names, self._stop_times())

    def _stop(self, names: Sequence[str], times: dict[str, float]) -> None:
        call = self._call(20.0).supervisor
        for name in names:
            call.stopProcessGroup(name, False)
        # Polled here: the supervisor's own wait returns at once for a program that is already stopping.
        until = time.monotonic() + max((times.get(name, 0.0) for name in names), default=0.0) + KILL_S
        while any(p.name in names and p.state not in ENDED for p in self.programs()):
            if time.monotonic() > until:
                return
            time.sleep(POLL_S)

    def _stop_times(self) -> dict[str, float]:
        infos = cast("list[dict[str, Any]]", self._call(5.0).supervisor.getAllConfigInfo())
        return {info["name"]: float(info["stopwaitsecs"]) for info in infos}

    def shutdown(self) -> None:
        """End the supervisor."""
        self._call(5.0).supervisor.shutdown()

    def _call(self, timeout: float) -> Any:
        return xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(self.socket, timeout))


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket, with a timeout: a supervisor that hangs must not block its caller."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self._path, self._timeout = path, timeout

    def make_connection(self, _host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path, self._timeout)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _ini(value: object) -> str:
    return str(value).replace("%", "%%")
