"""Every error DaCapo raises on purpose.

DacapoError
├── PluginError              a type could not be had from the installed packages
│   ├── MissingPlugin        no installed package offers it
│   ├── OutdatedPlugin       the installed one does not know all its fields
│   ├── BrokenPlugin         a package offers it, and importing it failed
│   ├── AmbiguousPlugin      two packages offer it
│   └── UnregisteredType     a class that no package offers was to be stored
├── NotReady                 parts of a run that a verb needs are missing
├── InvalidConfig            a value does not fit the field it was given to
│   └── InvalidDocument      the values in a document do not fit its type
├── InvalidName              a name that a store cannot keep safely
├── InvalidOptions           an option is unknown, unreadable or has a wrong value
├── InvalidRequest           a verb was asked for something that makes no sense
├── StoreError               something about what is kept
│   ├── NotFound             the store has nothing of that name
│   ├── DuplicateNameError   that name is taken by something different
│   ├── StoreUnreachable     the server that keeps it does not answer
│   ├── LeaseHeld            somebody else is training, validating or deleting the run
│   │   └── LeaseLost        somebody else took the run while this process had it
│   ├── NotAllowed           the server does not let this account do that
│   ├── CorruptData          what was stored fails its checksum
│   ├── InvalidArchive       a file that was to be imported is not what export writes
│   └── NewerFormat          written by a DaCapo newer than this one
├── DataError                a volume is not what it has to be
│   ├── MissingData          there is no such file or dataset
│   ├── InvalidArray         axes, voxel size or dtype do not fit
│   ├── InvalidLabels        labels outside the classes
│   └── OutsideData          a region reaches beyond the data
├── ShapeError               a network cannot take or make that shape
├── TrainingDiverged         loss or gradients are not finite
└── Stopped                  asked to stop; a checkpoint was written
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DacapoError(Exception):
    """The root: catch this to catch everything DaCapo raises on purpose."""

    exit_code = 1


class PluginError(DacapoError):
    """A type could not be had from the installed packages."""

    def __init__(self, message: str, *, kind: str, name: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.name = name

    def __reduce__(self) -> tuple[object, ...]:
        return _revive, (type(self), str(self), self.kind, self.name)


def _revive(cls: type[PluginError], message: str, kind: str, name: str) -> PluginError:
    return cls(message, kind=kind, name=name)


class MissingPlugin(PluginError, ImportError):  # type: ignore[misc]  # its name is never None
    """No installed package offers the type."""


class OutdatedPlugin(PluginError):
    """The installed package does not know all the fields of the document."""


class BrokenPlugin(PluginError):
    """A package offers the type, and importing it failed."""


class AmbiguousPlugin(PluginError):
    """Two packages offer the type under one name."""


class UnregisteredType(PluginError):
    """A class that no package offers was about to be stored."""


class NotReady(DacapoError):
    """Parts of a run that a verb needs are missing or broken."""

    def __init__(self, message: str, reasons: tuple[Exception, ...] = ()) -> None:
        super().__init__(message, reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        return str(self.args[0])


class InvalidConfig(DacapoError, ValueError):
    """A value does not fit the field it was given to."""


class InvalidDocument(InvalidConfig):
    """The values in a document do not fit the type it names."""


class InvalidName(DacapoError, ValueError):
    """A name that a store cannot keep safely."""

    exit_code = 2


class InvalidOptions(DacapoError, ValueError):
    """An option is unknown, unreadable or has a wrong value."""

    exit_code = 2


class InvalidRequest(DacapoError, ValueError):
    """A verb was asked for something that makes no sense."""

    exit_code = 2


class StoreError(DacapoError):
    """Something is wrong with what is kept, or with the place it is kept in."""


class NotFound(StoreError, LookupError):
    """The store has nothing of that name."""

    exit_code = 3


class DuplicateNameError(StoreError):
    """The name is taken by something different."""

    exit_code = 4


class StoreUnreachable(StoreError):
    """The server that keeps things does not answer, or not in time."""

    exit_code = 5


class LeaseHeld(StoreError):
    """Somebody else has the run: it is being trained, validated or deleted."""

    exit_code = 6


class LeaseLost(LeaseHeld):
    """Somebody else took the run from this process, which had given no sign of life for too long."""


class NotAllowed(StoreError):
    """The server does not know this account, or does not let it do what was asked."""


class CorruptData(StoreError):
    """What was stored fails its checksum."""


class InvalidArchive(StoreError):
    """A file that was to be imported is not what export writes, and may be meant to do harm."""


class NewerFormat(StoreError):
    """The data was written by a DaCapo newer than this one."""


class DataError(DacapoError):
    """A volume is not what it has to be."""


class MissingData(DataError, FileNotFoundError):
    """There is no such file or dataset."""

    exit_code = 3

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class InvalidArray(DataError, ValueError):
    """Axes, voxel size or dtype of an array do not fit its use."""


class InvalidLabels(DataError, ValueError):
    """Labels lie outside the classes of the task."""


class OutsideData(DataError, ValueError):
    """A region reaches beyond the data."""


class ShapeError(DacapoError, ValueError):
    """A network cannot take, or cannot make, the shape asked for."""


class TrainingDiverged(DacapoError):
    """The loss or the gradients are no longer finite."""


class Stopped(DacapoError):
    """Training was asked to stop and has written a checkpoint to go on from."""

    exit_code = 75


def did_you_mean(
    asked: object, known: Iterable[str], otherwise: str = "", most: int = 1, cutoff: float = 0.6
) -> str:
    """Return the part of a message that names what was meant, or says ``otherwise`` what to type."""
    close = difflib.get_close_matches(str(asked), list(known), n=most, cutoff=cutoff)
    return f"did you mean {' or '.join(close)}?" if close else otherwise
