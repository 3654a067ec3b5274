"""Which names a store can keep safely; the one place where names are judged.

A name becomes part of a path, a database key and a command line, so it may not be able to
do harm in any of them.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NoReturn, Protocol
from urllib.parse import quote

from .errors import InvalidName, InvalidRequest

LONGEST = 200
MARKS = "._-+=,@()~ "
RESERVED = frozenset({"configs", "stats"})  # folders that lie beside those of the runs
_SEPARATOR = ":"
_LONGEST_SEGMENT = 120


TRASHED = "~"  # what keys begin with in the trash, and no name does


class Repeated(Protocol):
    """Anything that stands for a run: it has a name and a repetition."""

    @property
    def name(self) -> str: ...
    @property
    def repetition(self) -> int: ...


class RunKey(str):
    """A run's name and repetition in one text, known to be exact: a bare name is repetition 0."""

    __slots__ = ()


def check_name(name: Any, what: str = "the name") -> str:
    """Return ``name`` if a store can keep it, or raise ``InvalidName`` saying why not.

    Letters and digits of any script and ``._-+=,@()~`` and inner spaces are allowed.
    """

    def refuse(reason: str) -> NoReturn:
        raise InvalidName(f"{what} {name!r:.80} cannot be used: {reason}; choose for example {_tame(name)!r}")

    if not isinstance(name, str):
        raise InvalidName(f"{what} should be a text, and is {name!r:.80}")
    if not name:
        raise InvalidName(f"{what} should not be empty")
    if odd := [character for character in name if not _is_allowed(character)]:
        refuse(f"it contains {odd[0]!r}")
    if len(name.encode()) > LONGEST:
        refuse(f"it is longer than {LONGEST} bytes")
    if not name[0].isalnum() and name[0] != "_":
        refuse("it should begin with a letter or digit")
    if name[-1] in ". " or ".." in name or "  " in name:
        refuse("dots and spaces should stand alone and inside")
    if unicodedata.normalize("NFC", name) != name:
        refuse("its accents are written as separate characters")
    return name


def check_run_name(name: Any) -> str:
    """Return ``name`` if a run can have it, or raise ``InvalidName``."""
    if check_name(name, "the run name").casefold() in RESERVED:
        raise InvalidName(f"the run name {name!r} is the name of a folder of the store; choose another")
    return str(name)


def run_key(run: str | Repeated) -> RunKey:
    """Return the text that tells a run from all others: ``name``, or ``name:repetition``.

    A text is taken at its word: without a repetition it means repetition 0.
    """
    if isinstance(run, RunKey):
        return run
    if isinstance(run, str):
        return _key_of(str(run))
    if not hasattr(run, "repetition"):
        raise InvalidName(f"a run should be given as a text or by its config, and not as {run!r:.80}")
    return _key(run.name, run.repetition)


@lru_cache(1024)
def _key_of(text: str) -> RunKey:
    name, _, repetition = text.partition(_SEPARATOR)
    if _SEPARATOR in text and not (repetition.isascii() and repetition.isdigit() and len(repetition) < 10):
        raise InvalidName(f"{text!r} should read  name  or  name:repetition, such as {name}:1")
    return _key(name, int(repetition or 0))


def find_run(run: str | Repeated, present: Callable[[str], Iterable[str]]) -> RunKey:
    """Return the key of a stored run; a bare name that somebody typed finds its only repetition.

    ``present`` returns the stored keys that begin with a text.  Several repetitions of a bare
    name raise ``InvalidRequest``.
    """
    key = run_key(run)
    found = repetitions_of(run, present)
    if len(found) > 1:
        choices = ", ".join(other if _SEPARATOR in other else f"{other}:0" for other in found)
        raise InvalidRequest(f"there are several repetitions of run {key}: {choices}; name one of them")
    return found[0] if found else key


def repetitions_of(run: str | Repeated, present: Callable[[str], Iterable[str]]) -> list[RunKey]:
    """Return the keys that somebody means by a run; a bare name means all its stored repetitions, sorted."""
    key = run_key(run)
    if not isinstance(run, str) or isinstance(run, RunKey) or _SEPARATOR in run:
        return [key]
    alike = (other for other in present(key) if other == key or other.startswith(key + _SEPARATOR))
    return [RunKey(other) for other in sorted(alike)]


def folded(name: str) -> str:
    """Return what a name has in common with all that differ only in case or in how letters are encoded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def twins_of(name: str, names: Iterable[str]) -> list[str]:
    """Return those names that differ from one only in case or in how letters are encoded, sorted."""
    wanted = folded(name)
    return sorted(other for other in names if other != name and folded(other) == wanted)


def segment(text: str) -> str:
    """Return any text as one safe segment of a path, different for different texts."""
    plain = quote(text, safe=" ()+,=@", errors="surrogatepass")
    if plain.startswith((".", "~")) or not plain:
        plain = "%" + plain
    if len(plain) > _LONGEST_SEGMENT:
        plain = f"{plain[:80]}%{hashlib.sha256(plain.encode()).hexdigest()[:32]}"
    return plain


def _key(name: str, repetition: int) -> RunKey:
    name = check_run_name(name)
    return RunKey(f"{name}{_SEPARATOR}{repetition}" if repetition else name)


def _is_allowed(character: str) -> bool:
    return character in MARKS or unicodedata.category(character)[0] in "LMN"


def _tame(name: str) -> str:
    """Return an allowed name that resembles a refused one."""
    composed = unicodedata.normalize("NFC", name)
    letters = "".join(c if c.isascii() and c.isalnum() else "-" for c in composed)
    return "-".join(part for part in letters.split("-") if part)[:40] or "name"
