"""The import path that existing code knows the local array store by."""

from .array_store import LocalArrayIdentifier, LocalArrayStore, LocalContainerIdentifier

__all__ = ["LocalArrayIdentifier", "LocalArrayStore", "LocalContainerIdentifier"]
