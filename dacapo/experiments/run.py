"""One experiment, and everything it is made of.

This module imports nothing heavy: the parts of a run are made when they are first needed,
so that listing, plotting and predicting ask for neither trainer nor training data.
"""

from __future__ import annotations

import logging
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any

from dacapo.config import UnknownConfig, build, unknown_parts
from dacapo.errors import DacapoError, InvalidConfig, InvalidRequest, NotFound, NotReady, StoreError
from dacapo.experiments.run_config import RunConfig, parts
from dacapo.experiments.state_dict import fitting_optimizer_state, named_as_in
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.store.create_store import create_config_store, create_weights_store
from dacapo.store.weights_store import Weights

if TYPE_CHECKING:
    import torch

    from dacapo.experiments.architectures import Architecture
    from dacapo.experiments.datasplits import DataSplit
    from dacapo.experiments.model import Model
    from dacapo.experiments.starts import LoadedWeights, Start
    from dacapo.experiments.tasks.task import Task
    from dacapo.experiments.trainers import Trainer
    from dacapo.store.stats_store import StatsStore
    from dacapo.store.weights_store import WeightsStore

logger = logging.getLogger(__name__)

PARTS_OF_VERB = {
    "train": ("task", "architecture", "trainer", "datasplit", "start"),
    "validate": ("task", "architecture", "datasplit"),
    "predict": ("task", "architecture"),
    "apply": ("task", "architecture"),
}


class Run:
    """One experiment: its config, and the parts that the config describes.

    Each part is made when it is first asked for.  ``load_starter_model=False`` leaves out the
    weights of another run that the config may ask to start from.
    """

    def __init__(self, run_config: RunConfig, load_starter_model: bool = True) -> None:
        self.config = run_config
        self.load_starter_model = load_starter_model
        self.training_stats = TrainingStats()
        self.loaded: LoadedWeights | None = None  # what the start put into the model, once that is made

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.config.name

    @property
    def repetition(self) -> int:
        """Which repetition of its name the run is."""
        return self.config.repetition

    @property
    def key(self) -> str:
        """Name and repetition in one text, as the stores know the run."""
        return self.config.key

    @property
    def train_until(self) -> int:
        """The iteration at which training ends."""
        return self.config.num_iterations

    @property
    def validation_interval(self) -> int:
        """How many iterations lie between validations."""
        return self.config.validation_interval

    @property
    def _config(self) -> RunConfig:
        return self.config  # the name that existing scripts know

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Run({self.key!r})"

    @cached_property
    def task(self) -> Task:
        """What is predicted, scored and segmented."""
        task: Task = build(self.config.task_config)
        return task

    @cached_property
    def architecture(self) -> Architecture:
        """The backbone."""
        architecture: Architecture = build(self.config.architecture_config)
        return architecture

    @cached_property
    def trainer(self) -> Trainer:
        """What makes batches and trains on them."""
        trainer: Trainer = build(self.config.trainer_config)
        trainer.seed = self.seed
        return trainer

    @cached_property
    def datasplit(self) -> DataSplit:
        """The data to train and validate on."""
        datasplit: DataSplit = build(self.config.datasplit_config)
        return datasplit

    @cached_property
    def start(self) -> Start | None:
        """Whose weights the model begins with; None for its own initial ones."""
        if self.config.start_config is None or not self.load_starter_model:
            return None
        start: Start = build(self.config.start_config)
        return start

    @cached_property
    def model(self) -> Model:
        """The network: backbone and head, with the weights of the start if there is one."""
        # Imported here like torch itself: whoever only reads about a run needs neither.
        from dacapo.experiments.random_state import seeded

        with seeded(self.seed):
            create = self.task.create_model if self.load_starter_model else self.task.create_blank_model
            model = create(self.architecture)
        if self.start is not None and self.load_starter_model:
            self.loaded = self._start_from(self.start, model)
        try:
            model.freeze(self.config.freeze)
        except InvalidConfig as error:
            self.config.refuse("freeze", str(error))
        return model

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """What the trainer changes the weights of the model with, those that are not frozen."""
        optimizer = self.trainer.create_optimizer(self.model)
        for group in optimizer.param_groups:
            # Not all trainers leave out what is frozen, and some name their parameters in a list beside.
            trained = [parameter.requires_grad for parameter in group["params"]]
            for key in ("params", "param_names"):
                if key in group:
                    group[key] = list(compress(group[key], trained))
        return optimizer

    @cached_property
    def validation_scores(self) -> ValidationScores:
        """The scores of all validations so far."""
        return self.get_validation_scores(self.config)

    @staticmethod
    def get_validation_scores(run_config: RunConfig) -> ValidationScores:
        """Return empty scores with the labels of a run, without making model or trainer."""
        task: Task = build(run_config.task_config)
        datasplit: DataSplit = build(run_config.datasplit_config)
        return ValidationScores(list(task.parameters), datasplit.validate, task.evaluation_scores)

    @cached_property
    def seed(self) -> int:
        """What everything random in this run follows from."""
        from dacapo.experiments.random_state import seed_of  # not before it is needed: imports torch

        return seed_of(self.config.seed, self.config.repetition)

    def move_optimizer(self, device: Any, empty_cuda_cache: bool = False) -> None:
        """Move every tensor in the state of the optimizer to a device."""
        # Imported here: a run that is only looked at has no optimizer.
        import torch

        for state in self.optimizer.state.values():
            for key, value in state.items():
                # The step count of an optimizer stays on the CPU unless it is fused.
                if torch.is_tensor(value) and not (key == "step" and value.ndim == 0):
                    state[key] = value.to(device)
        if empty_cuda_cache and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def ready(self, *verbs: str) -> None:
        """Raise ``NotReady`` with every part that the verbs need and that is missing or broken.

        Verbs are ``train``, ``validate``, ``predict`` and ``apply``; none means all of them.
        """
        if strangers := set(verbs) - PARTS_OF_VERB.keys():
            raise InvalidRequest(
                f"{', '.join(sorted(strangers))}: no such verb; choose from {', '.join(PARTS_OF_VERB)}"
            )
        wanted = {part: None for verb in verbs or PARTS_OF_VERB for part in PARTS_OF_VERB[verb]}
        reasons: list[Exception] = []
        for part in wanted:
            reasons += self._reasons_against(part)
        if reasons:
            lines = "\n".join(f"- {reason}" for reason in reasons)
            raise NotReady(f"run {self.key} is not ready to {' and '.join(verbs)}:\n{lines}", tuple(reasons))

    def _reasons_against(self, part: str) -> list[Exception]:
        config = getattr(self.config, f"{part}_config")
        if config is None or (part == "start" and not self.load_starter_model):
            return []
        if unknown := unknown_parts(config):
            return [part.reason for part in unknown]
        absent: list[Exception] = [
            StoreError(f"{type(piece).__name__} {piece.name!r}: {reason}")
            for piece in parts(config)
            for found, reason in [piece.verify()]
            if not found
        ]
        if absent:
            return absent
        try:
            getattr(self, part)
        except DacapoError as error:
            return [error]
        return []

    def checkpoint_weights(self) -> Weights:
        """Return all that training needs to go on exactly from here."""
        from dacapo.experiments import random_state  # only where torch is in use anyway

        return Weights(
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scheduler=self.trainer.state_dict(),
            random_state=random_state.capture(),
        )

    def load_weights(self, weights: Weights, training: bool = False) -> None:
        """Put weights into the model, and with ``training`` all else that a checkpoint holds."""
        self.model.load_state_dict(weights.model)
        if not training:
            return
        from dacapo.experiments import random_state  # only where torch is in use anyway

        if weights.optimizer is not None:
            self._load_optimizer(weights.optimizer, weights.model)
        if weights.scheduler is not None:
            self.trainer.load_state_dict(weights.scheduler)
        if weights.random_state is not None:
            random_state.restore(weights.random_state)

    def _load_optimizer(self, stored: dict[str, Any], model: dict[str, Any]) -> None:
        """Take the state of an optimizer if it is that of these parameters; an older one's may not be.

        ``model`` is what was stored of the model with it.
        """
        own, weights = self.optimizer.state_dict(), self.model.state_dict()
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        for group, parameters in zip(own["param_groups"], self.optimizer.param_groups, strict=True):
            group["shapes"] = [tuple(parameter.shape) for parameter in parameters["params"]]
            group["names"] = [names[id(parameter)] for parameter in parameters["params"]]
        # Existing DaCapo's optimizers take parameters in the order in which its models name them.
        order = [] if model.keys() == weights.keys() else list(named_as_in(weights, model))
        if (state := fitting_optimizer_state(own, stored, order)) is not None:
            self.optimizer.load_state_dict(state)
        else:
            logger.warning(
                "run %s: the stored state of the optimizer is that of other parameters; it begins anew",
                self.key,
            )

    def resume(self, stats_store: StatsStore, weights_store: WeightsStore) -> int:
        """Put the run where it left off and return the iteration to go on from.

        That is the newest checkpoint that is whole.  Stats beyond it are cut from this run's
        memory; what is stored of them is replaced by the next ``persist``.
        """
        self.training_stats = stats_store.retrieve_training_stats(self)
        self._recall_scores(stats_store)
        recorded = self.training_stats.trained_until()
        iteration = weights_store.latest_iteration(self)
        checkpoint = ""
        # Whose weights it began with may be gone by now, and they would be replaced anyway.
        self.load_starter_model &= iteration is None
        if iteration is None:
            self._refuse_lost_weights(recorded, weights_store)
            iteration = 0
            self._start_generators()
        else:
            checkpoint = weights_store.manifest(self, iteration)
            self.load_weights(weights_store.retrieve_weights(self, iteration), training=True)
        if iteration != recorded:
            logger.warning(
                "run %s: stats reach iteration %d, the newest checkpoint %d; going on from %d",
                self.key, recorded, iteration, iteration,
            )  # fmt: skip
        self.training_stats.delete_after(iteration)
        self.validation_scores.delete_after(iteration + 1)
        self.trainer.iteration = iteration
        # From here on this is the writer: what another process still appends is no longer read.
        stats_store.begin_epoch(self, iteration, checkpoint)
        return iteration

    def persist(self, stats_store: StatsStore) -> None:
        """Store the stats and scores that are new since they were last stored."""
        stats_store.store_training_stats(self, self.training_stats)
        if "validation_scores" in self.__dict__ and self.validation_scores.scores:
            stats_store.store_validation_iteration_scores(self, self.validation_scores)

    def checkpoint(self, weights_store: WeightsStore) -> int:
        """Store a checkpoint of the iteration the run has reached, unless it is there; return it."""
        iteration = self.training_stats.trained_until()
        # A damaged one that training has reached again is written anew.
        if not weights_store.is_whole(self, iteration):
            weights_store.store_weights(self, iteration)
        return iteration

    def _recall_scores(self, stats_store: StatsStore) -> None:
        stored = stats_store.retrieve_validation_iteration_scores(self)
        self.validation_scores.scores = list(stored)

    def _refuse_lost_weights(self, recorded: int, weights_store: WeightsStore) -> None:
        """Refuse to begin anew over stats that must have had a checkpoint."""
        interval = self.config.checkpoint_interval or self.validation_interval
        if recorded < min(interval, self.train_until):
            return
        raise NotFound(
            f"run {self.key} has stats up to iteration {recorded}, but no usable checkpoint in "
            f"{weights_store}; point runs_base_dir to where its checkpoints are, or begin anew "
            f"with  dacapo run delete {self.key}"
        )

    def _start_generators(self) -> None:
        from dacapo.experiments.random_state import seed_everything  # only training needs it

        seed_everything(self.seed)

    def _start_from(self, start: Start, model: Model) -> LoadedWeights:
        """Load the weights of a start, matching heads by their channels."""
        from dacapo.experiments.starts import InitialWeights  # not before there is a start: imports torch

        brought = start.bring()
        if brought is None:
            brought = InitialWeights(_weights_of(start), self._channels_of(start.run))
        loaded = start.initialize_weights(model, brought.tensors, brought.channels, self.task.channels)
        logger.info("run %s begins with %s: %s", self.key, loaded.whose, loaded)
        return loaded

    def _channels_of(self, run_name: str) -> list[str] | None:
        try:
            config = create_config_store().retrieve_run_config(run_name)
        except NotFound:
            return None  # weights that somebody put there without a run
        if isinstance(config, UnknownConfig) or unknown_parts(config.task_config):
            return None
        task: Task = build(config.task_config)
        return list(task.channels)


def _weights_of(start: Start) -> dict[str, Any]:
    """Return the weights of the run and checkpoint that a start names."""
    store = create_weights_store()
    try:
        return store.retrieve_weights_by(start.run, start.criterion).model
    except NotFound as error:
        there = ", ".join(store.backend.blob_runs()) or "none"
        raise NotFound(f"{start.whose} cannot be had: {error}. Runs with checkpoints are: {there}") from error
