"""The status probe and the force cleanup of a container: a program that the supervisor runs.

    probe  CLIENT NAME IMAGE CIDFILE STATUS    how a command ended whose client ended with STATUS
    remove CLIENT NAME IMAGE LABEL...          leave no container of this name, in whatever state

It is run by its path, by a bare interpreter, on every command whose end isn't plain: so it imports
nothing of ours, and little at all.

Rules of `probe`
1. The container's end state is the command's, whatever became of the client and the daemon.
2. While the container runs, its output is passed on, and signals to this program reach it.
3. Once the container was made, a daemon that doesn't answer is waited for: only it knows the end.
4. Bytes may be missing unless the client itself told the container's end.
The report goes into the standard input, which is a file in memory.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any, Final

# Seconds between two questions to a daemon that doesn't answer: it tells nobody that it is back.
RETRY_S: Final = 0.5
# Seconds between two looks at a container that is just being made: it takes a tenth of one.
SETTLE_S: Final = 0.1
# Signals that a container's command gets. The client can't catch KILL and STOP, nor, as a program
# in Go, PROF and RTMIN; it passes on neither CHLD, PIPE nor URG. The init in the container keeps
# those that faults raise, TTIN and TTOU. Source: signals.go of docker/cli, tini.c; tried.
PASSED_ON: Final = tuple(
    sorted(
        signal.valid_signals()
        - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPROF, signal.SIGRTMIN}
        - {signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG}
        - {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}
        - {signal.SIGSYS, signal.SIGTRAP, signal.SIGTTIN, signal.SIGTTOU}
    )
)
# A container's status for signal n. Source: docker-run(1), as shells do it.
_SIGNALLED: Final = 128
# Directories of a search path that are looked into: each look asks the daemon, and the path is the
# job's. Of one that has more it isn't known whether the program is there.
_MAX_DIRECTORIES: Final = 32
# Where a container without a PATH has its programs. Source: docker-run(1).
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Started at this time: never. It is how Go writes a time that isn't set.
_NEVER: Final = "0001-01-01"


class Unreachable(Exception):
    """The daemon doesn't answer, or there is no client; the message is the client's."""


@dataclass(frozen=True, slots=True)
class ClientResult:
    """How a call of the client ended, and what it wrote."""

    status: int
    output: bytes
    error: str

    @property
    def knows_no_container(self) -> bool:
        """Docker writes one or the other, and podman in lower case."""
        text = self.error.lower()
        return "no such container" in text or "no such object" in text


def call(
    *argv: str, timeout_s: float | None = None, environment: dict[str, str] | None = None
) -> ClientResult:
    """Run the client. Raises: Unreachable, when there is none, or it takes longer than this."""
    try:
        ended = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=timeout_s,
            env=environment,
        )
    except OSError as exc:
        raise Unreachable(f"The program {argv[0]!r} could not be started: {exc.strerror}") from exc
    except subprocess.TimeoutExpired as exc:
        raise Unreachable(f"{argv[0]} did not answer within {timeout_s} s") from exc
    return ClientResult(
        ended.returncode, ended.stdout, ended.stderr.decode(errors="replace").strip()
    )


@dataclass(slots=True)
class Container:
    """The container of one command, seen through the client."""

    client: str
    name: str
    image: str
    held: list[int] = field(default_factory=list)  # signals that came and weren't passed on

    def call(self, *arguments: str) -> ClientResult:
        """As `call`; a client that the job's own signal hit is asked again."""
        while True:
            result = call(self.client, *arguments)
            if result.status >= 0 or -result.status not in self.held:
                return result

    def state(self) -> dict[str, Any] | None:
        """Its state; None when there is no such container. Raises: Unreachable."""
        result = self.call(
            "inspect", "--type", "container", "--format", "{{json .State}}", self.name
        )
        if result.status == 0:
            return json.loads(result.output)  # type: ignore[no-any-return]  # an object, as asked
        if result.knows_no_container:
            return None
        raise Unreachable(result.error.partition("\n")[0])

    def follow(self) -> None:
        """Pass on what it writes from now on, and signals, until it ends or the client does."""
        self._pass_on()
        attached = subprocess.Popen(
            [self.client, "attach", "--no-stdin", self.name], stdin=subprocess.DEVNULL
        )
        self._pass_on()  # what came meanwhile: it may have missed the client
        code = attached.wait()
        # A client that was hit before it could pass the signal on has ended of it: it is held on.
        if (-code if code < 0 else code - _SIGNALLED) not in self.held:
            self.held.clear()

    def _pass_on(self) -> None:
        while self.held:
            self.call("kill", "--signal", str(self.held.pop(0)), self.name)

    def is_runnable(self) -> bool:
        """Whether the program that it was to run is there, or may be. Raises: Unreachable.

        The client's arguments are in the process list: a search path of the job's own isn't.
        """
        result = self.call("inspect", "--type", "container", self.name)
        if result.status != 0:
            raise Unreachable(result.error.partition("\n")[0])
        (about,) = json.loads(result.output)
        directories = [about["Config"].get("WorkingDir") or "/"]
        if "/" not in about["Path"]:
            path = _search_path(about["Config"].get("Env"))
            of_image = self.call("image", "inspect", "--format", "{{json .Config.Env}}", self.image)
            if of_image.status != 0 or path != _search_path(json.loads(of_image.output)):
                return True
            directories = list(dict.fromkeys((path or _DEFAULT_PATH).split(":")))
        if len(directories) > _MAX_DIRECTORIES:
            return True
        return any(self._has_program(os.path.join(d, about["Path"])) for d in directories)

    def _has_program(self, path: str) -> bool:
        """Whether there is an executable file: the first entry of an archive of it says so."""
        with subprocess.Popen(
            [self.client, "cp", "--follow-link", f"{self.name}:{path}", "-"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as copy:
            assert copy.stdout is not None  # noqa: S101 - it is a pipe
            header = copy.stdout.read(512)
            copy.kill()
        # Source: tar(5): the mode is eight octal digits at 100, the type one byte at 156.
        if len(header) < 512 or header[156:157] not in (b"0", b"\0"):
            return False
        return bool(int(header[100:108].strip(b" \0") or b"0", 8) & 0o111)


def _search_path(environment: list[str] | None) -> str:
    return dict(v.partition("=")[::2] for v in environment or ()).get("PATH", "")


def probe(container: Container, cid_file: str, status: int) -> dict[str, Any]:
    """The report on the command whose client ended with `status`; see the module's rules."""
    has_told = has_followed = False
    while True:
        try:
            state = container.state()
            if state is not None and state["Status"] in ("running", "paused", "restarting"):
                if has_followed:
                    _pause(container, SETTLE_S)
                container.follow()
                has_followed = True
                continue
            if state is None:
                return _without_container(container, cid_file, status)
            return _at_the_end(container, state, status)
        except Unreachable as exc:
            if not _was_made(cid_file):
                return {"error": f"Docker can't be reached: {_sentence(str(exc))}"}
            if not has_told:
                print(f"jobrunner: waiting for Docker: {exc}", file=sys.stderr, flush=True)  # noqa: T201 - into the job's output
                has_told = True
            _pause(container, RETRY_S)


def _at_the_end(container: Container, state: dict[str, Any], status: int) -> dict[str, Any]:
    code = int(state["ExitCode"])
    if state["Status"] == "created" or state["StartedAt"].startswith(_NEVER):
        if status < 0 or status > _SIGNALLED:
            return {"status": _as_signal(status)}  # the client was killed before it could start it
        reason = _sentence(state.get("Error") or "it was made, but never started")
        return {"error": f"The container could not be started: {reason}"}
    if code in (126, 127) and not container.is_runnable():
        return {
            "error": "The program could not be started in the container: it is not there, or"
            " not executable; the command's standard error says more."
        }
    return {
        "status": _as_signal(code),
        "complete": status == code,
        "oom_killed": bool(state.get("OOMKilled")),
    }


def _without_container(container: Container, cid_file: str, status: int) -> dict[str, Any]:
    if _was_made(cid_file):
        return {
            "error": "The container was removed by somebody else; how it ended isn't known.",
            "complete": False,
        }
    if status != 125:
        return {"status": _as_signal(status)}  # the client was killed before there was one
    image = container.image
    if container.call("image", "inspect", "--format", "{{.Id}}", image).status != 0:
        return {
            "error": f"There is no image {image!r} here, and none could be pulled; the"
            " command's standard error says more."
        }
    return {"error": "Docker refused to make the container; the command's standard error says why."}


def _as_signal(code: int) -> int:
    """A wait status for an exit code of Docker, which has one number for 128+n and signal n."""
    by_signal = code > _SIGNALLED and code - _SIGNALLED in signal.valid_signals()
    return _SIGNALLED - code if by_signal else code


def remove(container: Container, labels: list[str]) -> bool:
    """Leave no container of this name; whether that worked. Raises: Unreachable.

    When there is none, the daemon may be making it just now, for a client that was killed. Then the
    name is taken already; so one that can be taken shows that nothing is under way.
    """
    while True:
        result = container.call("rm", "--force", "--volumes", container.name)
        if not result.knows_no_container:
            return _report(result)
        arguments = ["create", "--name", container.name, "--pull", "never", "--network", "none"]
        for label in labels:
            arguments += ["--label", label]
        result = container.call(*arguments, container.image)
        if result.status == 0:
            return _report(container.call("rm", "--force", "--volumes", container.name))
        if "already in use" not in result.error:
            # Without the image nothing is being made; with another fault nothing can be known.
            return "no such image" in result.error.lower() or _report(result)
        _pause(container, SETTLE_S)


def _report(result: ClientResult) -> bool:
    if result.status:
        print(f"jobrunner: {result.error}", file=sys.stderr)  # noqa: T201 - into the supervisor's log
    return result.status == 0


def _was_made(cid_file: str) -> bool:
    """The client writes the container's ID down as soon as the daemon has made it."""
    try:
        return os.path.getsize(cid_file) > 0
    except OSError:
        return False


def _pause(container: Container, seconds: float) -> None:
    """Until the time has passed, or a signal has come."""
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    try:
        if (came := signal.sigtimedwait(PASSED_ON, seconds)) is not None:
            container.held.append(came.si_signo)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def main(arguments: list[str]) -> int:
    """The program; its exit status. `remove` exits with 0 when nothing is left."""
    verb, client, name, image, *rest = arguments
    container = Container(client, name, image)
    for number in PASSED_ON:
        signal.signal(number, lambda signum, _frame: container.held.append(signum))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the supervisor has them blocked until now
    if verb == "probe":
        report = probe(container, rest[0], int(rest[1]))
        os.pwrite(0, json.dumps(report).encode(), 0)
        return 0
    try:
        return 0 if remove(container, rest) else 1
    except Unreachable as exc:
        print(f"jobrunner: {exc}", file=sys.stderr)  # noqa: T201 - into the supervisor's log
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
