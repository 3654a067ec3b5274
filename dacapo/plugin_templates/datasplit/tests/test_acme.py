"""What DaCapo asks of every datasplit, and how this one deals."""

from dacapo.config import build
from dacapo.experiments.datasplits.datasets import DummyDatasetConfig
from dacapo.testing import conformance
from dacapo_acme.configs import AcmeDataSplitConfig

test_conformance = conformance([AcmeDataSplitConfig.example()])


def test_every_dataset_is_held_out_once():
    configs = [DummyDatasetConfig(name) for name in "abcde"]
    splits = [
        build(AcmeDataSplitConfig("acme", dataset_configs=configs, fold=fold, folds=3)) for fold in range(3)
    ]
    assert sorted(one.name for split in splits for one in split.validate) == list("abcde")
    assert all({*split.train}.isdisjoint(split.validate) for split in splits)
    assert all(len(split.train) + len(split.validate) == 5 for split in splits)
