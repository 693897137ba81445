"""Every error that vigil raises on purpose, and whether trying again can help.

`aio.tasks.keep_running` retries what derives from `RetryableError` (and unexpected exceptions, with a
traceback, so that one camera's bug is that camera's alone); `FatalError` always ends what it reaches.
"""

from dataclasses import dataclass
from typing import ClassVar


class VigilError(Exception):
    """Base of all errors of vigil."""

    exit_status: ClassVar[int] = 1
    """Status of a process that this error ends."""


class RetryableError(VigilError):
    """Trying again later can help: a camera, a broker or a network is away."""

    reason: ClassVar[str] = "error"
    """Short word for logs and metric labels."""

    slow: ClassVar[bool] = False
    """Retry rarely: hammering would not help and may lock an account."""


class FatalError(VigilError):
    """Trying again cannot help; the process reports it and ends."""


class CannotStartError(FatalError):
    """Something that vigil needs at start is missing or taken."""

    exit_status = 3


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a configuration, at a place a person can find."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        """Render as `file:line:column: path: what is wrong; what would be right`."""
        path = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column}: {path}{self.message}"


class ConfigError(FatalError):
    """A configuration is wrong; carries every problem found, in file order."""

    exit_status = 2

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SourceError(RetryableError):
    """A camera's source cannot be opened or read."""

    exit_status = 1

    reason = "error"


class RefusedError(SourceError):
    """Nobody listens there, or the host cannot be reached."""

    reason = "refused"


class SourceTimeoutError(SourceError):
    """The source accepted and did not answer in time."""

    reason = "timeout"


class UnauthorizedError(SourceError):
    """User name or password are wrong."""

    reason = "unauthorized"
    slow = True


class NotFoundError(SourceError):
    """The server answers and has no such stream, or the file does not exist."""

    reason = "not_found"
    slow = True


class UnsupportedError(SourceError):
    """The source answers with something that cannot be decoded."""

    reason = "unsupported"


class PixelsError(VigilError):
    """A picture's pixels cannot be converted; every other picture's can."""


class DecodeError(SourceError):
    """The stream's data cannot be decoded."""

    reason = "decode"


class EndedError(SourceError):
    """The stream ended: the server closed it, or a file is over."""

    reason = "ended"


class StalledError(SourceError):
    """The source is open and delivers no frames."""

    reason = "stalled"


def cause_of(error: BaseException) -> BaseException:
    """Return what is to blame in a group of errors: one of vigil's own, if there is one, before any other."""
    while isinstance(error, BaseExceptionGroup):
        error = (error.subgroup(VigilError) or error).exceptions[0]
    return error
