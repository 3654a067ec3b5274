"""A real FTP server on this machine: storage that fsspec can write to and tensorstore does not know."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

with warnings.catch_warnings():  # what it stands on leaves the standard library after Python 3.11
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

USER, PASSWORD = "lab", "open-sesame"


class ServedFolder:
    """Serves a folder until it is closed; ``hang_up`` closes all connections, as after a long rest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authorizer = DummyAuthorizer()
        authorizer.add_user(USER, PASSWORD, str(folder), perm="elradfmwMT")
        handler = type("Handler", (FTPHandler,), {"authorizer": authorizer})
        self._loop = IOLoop()
        self._server = FTPServer(("127.0.0.1", 0), handler, ioloop=self._loop)
        self.url = f"ftp://{USER}@127.0.0.1:{self._server.address[1]}/"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            self._loop.loop(0.01, blocking=False)
        self._server.close_all()

    def hang_up(self) -> None:
        done = threading.Event()
        self._loop.call_later(0, lambda: (self._close_clients(), done.set()))
        assert done.wait(10)

    def _close_clients(self) -> None:
        for connection in list(self._loop.socket_map.values()):
            if connection is not self._server:
                connection.close()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()
