"""The datasplit itself."""

from dacapo.config import build
from dacapo.experiments.datasplits import DataSplit


class AcmeDataSplit(DataSplit):
    """Deals the datasets out like cards."""

    def __init__(self, config):
        datasets = list(map(build, config.dataset_configs))
        held_out = datasets[config.fold :: config.folds]
        super().__init__(config.name, [one for one in datasets if one not in held_out], held_out)
