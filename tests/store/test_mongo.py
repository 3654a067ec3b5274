"""The MongoDB backend against what every backend has to do."""

from __future__ import annotations

import pytest

from dacapo.store.mongo import MongoBackend
from dacapo.testing import stores
from mongo_places import MongoPlace


@pytest.mark.parametrize("check", stores.CHECKS, ids=lambda check: check.__name__)
def test_mongo_conforms(check: stores.Check, mongo_place: MongoPlace) -> None:
    check(lambda: MongoBackend(mongo_place.uri, mongo_place.name))
