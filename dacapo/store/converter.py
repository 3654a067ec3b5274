"""The import path that existing code knows the converter of configs by."""

from dacapo.documents import documents

converter = documents.converter

__all__ = ["converter"]
