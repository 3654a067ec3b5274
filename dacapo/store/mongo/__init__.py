"""Experiments kept in MongoDB."""

from .backend import MongoBackend

__all__ = ["MongoBackend"]
