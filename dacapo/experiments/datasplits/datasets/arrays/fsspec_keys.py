"""What is stored under URLs that tensorstore does not know but fsspec does, such as ``sftp://host/path``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

from dacapo.errors import StoreError
from dacapo.redaction import redacted

_T = TypeVar("_T")
# Connections to each server that nobody uses now: most file systems of fsspec serve one thread at a time.
_idle: defaultdict[str, list[Any]] = defaultdict(list)
# Another writer may make a folder just before we do, once at each level of a chunk's key.
_ATTEMPTS = 5


class FsspecKeys:
    """Reads and writes whole objects below a URL; threads may share it.

    Credentials are those of fsspec: its configuration files and variables.
    Raises ``StoreError`` for what the service refuses.
    """

    def __init__(self, place: str) -> None:
        self.place = place

    def read(self, name: str) -> bytes | None:
        """Return the content of an object; None if there is none."""
        return self._do(lambda fs, root: _content(fs, f"{root}/{name}"))

    def write(self, name: str, content: bytes | None) -> None:
        """Store an object in place of what is there; None removes it."""
        if content is None:
            if self.read(name) is not None:
                self._do(lambda fs, root: fs.rm_file(f"{root}/{name}"))
        else:
            self._do(lambda fs, root: _put(fs, f"{root}/{name}", content))

    def names(self) -> list[str]:
        """Return the names of all objects."""
        return self._do(lambda fs, root: [path[len(root) + 1 :] for path in _tree(fs, root, "file")])

    def clear(self) -> None:
        """Remove all objects, and the folders that they are in."""
        self._do(_clear)

    def _do(self, action: Callable[[Any, str], _T], attempts: int = _ATTEMPTS) -> _T:
        """Do something; if it fails, again over a new connection, because servers close idle ones."""
        idle = _idle["/".join(self.place.split("/")[:3])]
        fs = _taken(idle) or self._connect()
        try:
            result = action(fs, fs._strip_protocol(self.place))
        except Exception as error:  # every service has its own
            idle.clear()
            if attempts == 1:
                raise self._failed(error) from error
        else:
            idle.append(fs)
            return result
        return self._do(action, attempts - 1)

    def _connect(self) -> Any:
        # Imported here: whoever keeps volumes elsewhere need not wait for it.
        from fsspec.core import url_to_fs

        try:
            return url_to_fs(self.place, skip_instance_cache=True)[0]
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StoreError:
        reason = f"{type(error).__name__}: {error}"[:300]
        text = f"{self.place} cannot be reached or written to: {reason}; check the URL and your credentials"
        return StoreError(redacted(text))


def _taken(idle: list[Any]) -> Any:
    # Not asked first whether there is one: another thread may take it in between.
    try:
        return idle.pop()
    except IndexError:
        return None


def _content(fs: Any, path: str) -> bytes | None:
    try:
        content: bytes = fs.cat_file(path)
    except FileNotFoundError:
        # Some file systems say so of any failure, and what is not there reads as zeros: look again.
        if _is_there(fs, path):
            raise
        return None
    return content


def _is_there(fs: Any, path: str) -> bool:
    """Say whether there is an object or a folder; unlike ``exists`` of fsspec, raise if that is not known."""
    fs.invalidate_cache()
    try:
        fs.info(path)
    except FileNotFoundError:
        return False
    return True


def _put(fs: Any, path: str, content: bytes) -> None:
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    fs.pipe_file(path, content)


def _tree(fs: Any, root: str, kind: str) -> list[str]:
    found = fs.find(root, withdirs=True, detail=True) if _is_there(fs, root) else {}
    return [path for path, info in found.items() if info["type"] == kind]


def _clear(fs: Any, root: str) -> None:
    # One by one, because ``rm`` of fsspec takes * and [ in names for patterns.
    for path in _tree(fs, root, "file"):
        fs.rm_file(path)
    for path in reversed(_tree(fs, root, "directory")):
        fs.rmdir(path)
