"""What every datasplit has: datasets to train on, and datasets to validate on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from dacapo.errors import InvalidConfig

from .datasets.dataset import Dataset


class DataSplit:
    """Datasets to train on and datasets to validate on; their arrays are opened when asked for.

    Names are unique in either list, because scores are kept under them.
    """

    def __init__(self, name: str, train: Iterable[Dataset], validate: Iterable[Dataset] = ()) -> None:
        self.name = name
        self.train = list(train)
        self.validate = list(validate)
        for use, datasets in (("train", self.train), ("validate", self.validate)):
            counts = Counter(str(dataset) for dataset in datasets)
            if twice := [dataset.name for dataset in datasets if counts[str(dataset)] > 1]:
                raise InvalidConfig(
                    f"datasplit {name!r}: the datasets to {use} on should each have a name of its own, and "
                    f"there are {len(twice)} called {' or '.join(sorted(set(twice)))}; rename them"
                )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, train={self.train}, validate={self.validate})"


__all__ = ["DataSplit"]
