"""supervisord: its configuration, its start, and a typed client for its control socket."""

import http.client
import os
import shlex
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from shared.local import processes
from shared.local.errors import StackCode, StackError
from shared.local.program import Program

LEASHED = Path(__file__).with_name("leashed.py")
ENDED = ("STOPPED", "EXITED", "FATAL")
KILL_S = 15.0
"""How long a program may take to vanish once its own time to stop is over and the supervisor has killed it."""
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
"""What a call over the control socket may raise when the supervisor is dead, hung or of another mind."""


@dataclass(frozen=True, slots=True)
class Supervised:
    """A program as the supervisor sees it: state RUNNING, STARTING, BACKOFF, FATAL, ...; pid 0 when it has none."""

    name: str
    state: str
    pid: int
    started: int
    detail: str


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The supervisor of one stack: where its files are, and what can be asked of it."""

    run: Path
    logs: Path
    socket: Path
    secrets: Path
    mark: str

    @property
    def pidfile(self) -> Path:
        """Where supervisord writes its pid; `leashed` checks its parent against it."""
        return self.run / "supervisord.pid"

    @property
    def configuration(self) -> Path:
        """The generated configuration; holds no secrets."""
        return self.run / "supervisord.ini"

    def responds(self) -> bool:
        """Whether a supervisor answers on the socket and is ready to be told things."""
        try:
            return bool(self._call(2.0).supervisor.getState()["statename"] == "RUNNING")
        except FAULTS:
            return False

    def write(self, programs: Sequence[Program]) -> None:
        """Write the configuration and one file per program, and remove the files of earlier ones.

        Paths are relative to the run folder: supervisord expands some values twice, so that a ``%`` in the state
        folder's path could not be written in any way.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        folder = self.run / "programs"
        folder.mkdir(exist_ok=True)
        text = HEAD.format(socket=_ini(os.path.relpath(self.socket, self.run)))
        kept: set[Path] = set()
        for program in programs:
            file = program.write(folder, cwd=self.run, secrets=self.secrets, supervisor=self.pidfile)
            kept.add(file)
            command = _ini(shlex.join([sys.executable, "-S", str(LEASHED), f"programs/{file.name}"]))
            text += PROGRAM.format(name=program.name, command=command, stop_seconds=program.stop_seconds)
        self.configuration.write_text(text)
        for old in set(folder.iterdir()) - kept:
            old.unlink()

    def start(self) -> None:
        """Start supervisord as a daemon with the written configuration. Raises StackError (SUPERVISOR_FAILED)."""
        self.socket.unlink(missing_ok=True)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.configuration)]
        environment = {**os.environ, processes.MARK: self.mark}
        log = self.logs / "supervisord.out"
        with log.open("wb") as out:
            done = subprocess.run(
                command,
                env=environment,
                cwd=self.run,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                check=False,
            )
        if done.returncode != 0:
            said = log.read_text(errors="replace").strip().splitlines()
            why = said[-1] if said else f"exit code {done.returncode}"
            raise StackError(StackCode.SUPERVISOR_FAILED, f"the supervisor did not start: {why}")

    def apply(self) -> None:
        """Have the running supervisor take the written configuration: only programs that differ are touched.

        Raises StackError (SUPERVISOR_FAILED).
        """
        try:
            self._apply()
        except FAULTS as error:
            raise StackError(StackCode.SUPERVISOR_FAILED, f"the supervisor took no changes: {error}") from error

    def _apply(self) -> None:
        call = self._call(30.0).supervisor
        times = self._stop_times()  # Once the configuration is read again, those of what is to go are forgotten.
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
        """Ask all these programs to stop at once and wait until each has ended (SIGKILL after its time)."""
        self._stop(names, self._stop_times())

    def _stop(self, names: Sequence[str], times: dict[str, float]) -> None:
        call = self._call(20.0).supervisor
        for name in names:
            call.stopProcessGroup(name, False)
        # Waited for here: asked a second time, the supervisor answers at once for a program that is still stopping.
        until = time.monotonic() + max((times.get(name, 0.0) for name in names), default=0.0) + KILL_S
        while any(p.name in names and p.state not in ENDED for p in self.programs()):
            if time.monotonic() > until:
                return
            time.sleep(POLL_S)

    def _stop_times(self) -> dict[str, float]:
        infos = cast("list[dict[str, Any]]", self._call(5.0).supervisor.getAllConfigInfo())
        return {info["name"]: float(info["stopwaitsecs"]) for info in infos}

    def shutdown(self) -> None:
        """Tell the supervisor to end."""
        self._call(5.0).supervisor.shutdown()

    def _call(self, timeout: float) -> Any:
        return xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(self.socket, timeout))


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket, with a time limit: a hung supervisor must not hang its caller."""

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
