"""Basic and digest authentication (RFC 2617, MD5: what cameras speak), from the server's side."""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Literal

from vigil.bench.rtsp.message import Request

REALM: Final = "camera"
_FIELD: Final = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and the scheme by which the password is proved."""

    user: str
    password: str
    scheme: Literal["basic", "digest"] = "digest"


class Verdict(Enum):
    """What the credentials of a request are worth."""

    ACCEPTED = auto()
    DENIED = auto()
    STALE = auto()


class Authenticator:
    """Challenges the requests of one path and checks the answers."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._nonces: set[str] = set()

    def challenge(self, *, stale: bool = False) -> str:
        """Return a `WWW-Authenticate` value with a nonce of its own."""
        if self._credentials.scheme == "basic":
            return f'Basic realm="{REALM}"'
        nonce = secrets.token_hex(16)
        self._nonces.add(nonce)
        return f'Digest realm="{REALM}", nonce="{nonce}"' + (", stale=true" if stale else "")

    def check(self, request: Request, *, once: bool) -> Verdict:
        """Check a request; with `once` a nonce that was used is stale from then on."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != self._credentials.scheme:
            return Verdict.DENIED
        if self._credentials.scheme == "basic":
            expected = f"{self._credentials.user}:{self._credentials.password}".encode()
            return Verdict.ACCEPTED if value == base64.b64encode(expected).decode() else Verdict.DENIED
        return self._check_digest(request, value, once=once)

    def _check_digest(self, request: Request, value: str, *, once: bool) -> Verdict:
        answer = {name: quoted or plain for name, quoted, plain in _FIELD.findall(value)}
        nonce = answer.get("nonce", "")
        if answer.get("response") != self._response(request.method, answer):
            return Verdict.DENIED
        if nonce not in self._nonces:
            return Verdict.STALE
        if once:
            self._nonces.discard(nonce)
        return Verdict.ACCEPTED

    def _response(self, method: str, answer: dict[str, str]) -> str:
        """Return the digest that the right password gives, with or without `qop`."""
        identity = _md5(f"{self._credentials.user}:{REALM}:{self._credentials.password}")
        action = _md5(f"{method}:{answer.get('uri', '')}")
        quality = [answer.get(name, "") for name in ("nc", "cnonce", "qop")] if "qop" in answer else []
        return _md5(":".join([identity, answer.get("nonce", ""), *quality, action]))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 -- RFC 2617 prescribes it
