"""Names for programs and for people: identifiers that Home Assistant accepts, entity ids, texts to show."""

from __future__ import annotations

import hashlib
import re

_DIGITS = 8


def ident(text: str) -> str:
    """Return an identifier of `[a-zA-Z0-9_-]` for a text, the same for the same text and for no other."""
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", text)
    if plain == text and text:
        return text
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"


def slug(text: str) -> str:
    """Return the part of an entity id after its dot: small letters, digits, single underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "unnamed"


def title(name: str) -> str:
    """Return a name of the configuration as people write it: `front-door` is `Front door`."""
    words = re.sub(r"[_-]+", " ", name).strip() or name
    return words[:1].upper() + words[1:]
