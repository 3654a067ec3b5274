"""Types with one fault each: those whose component has it, and those that have it themselves."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import attrs

from dacapo.compute_context import ComputeContext
from dacapo.config import field, implemented_by
from dacapo.experiments.architectures import DummyArchitectureConfig
from dacapo.experiments.datasplits import DataSplitConfig
from dacapo.experiments.datasplits.datasets import DatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import ArrayConfig
from dacapo.experiments.starts import StartConfig
from dacapo.experiments.tasks import DistanceTaskConfig, DummyTaskConfig, MSELossConfig
from dacapo.experiments.tasks.evaluators.scores import EvaluationScores, score
from dacapo.experiments.tasks.post_processors.parameters import PostProcessorParameters
from dacapo.experiments.trainers import AugmentConfig, DummyTrainerConfig

TASK, TRAINER, AUGMENT = DistanceTaskConfig, DummyTrainerConfig, AugmentConfig
NETWORK, LOSS, START = DummyArchitectureConfig, MSELossConfig, StartConfig
# Of each component: the config it gets, the check that is to catch it, and the checks that then fail too.
FAULTS: dict[str, tuple[Any, ...]] = {
    "UnnamedChannels": (TASK, "channels_are_named"),
    "OneChannelTooMany": (TASK, "a_model_predicts_the_channels"),
    "WeightsElsewhere": (TASK, "targets_lie_where_the_prediction_does"),
    "TargetsNotFinite": (TASK, "targets_are_finite"),
    "NegativeWeights": (TASK, "weights_are_finite"),
    "WholeForARegion": (TASK, "targets_of_a_region_are_cut_from_the_whole"),
    "ScratchesTheTruth": (TASK, "ground_truth_stays_as_it_is"),
    "ForgetsTheMask": (TASK, "masked_voxels_weigh_nothing"),
    "CountsWhatIsMasked": (TASK, "class_counts_leave_out_masked_voxels"),
    "SeesTooLittle": (TASK, "a_region_of_ground_truth_suffices"),
    "LossWithoutScalar": (TASK, "the_loss_is_finite_and_has_a_gradient"),
    "LossUpsideDown": (TASK, "the_truth_costs_less_than_noise"),
    "LossOfMasked": (TASK, "masked_voxels_carry_no_gradient"),
    "LabelsOfFloats": (TASK, "every_parameter_set_post_processes"),
    "LooksAtItsBlock": (TASK, "blocks_are_segmented_like_the_whole"),
    "BeyondItsBounds": (DummyTaskConfig, "scores_are_those_announced"),
    "WrongDirection": (TASK, "a_perfect_prediction_beats_a_shuffled_one"),
    "NothingWins": (TASK, "better_scores_win"),
    "MakesUpAPrediction": (TASK, "a_prediction_is_asked_for"),
    "ScoresByTheMask": (TASK, "masked_voxels_are_not_scored"),
    "ForgetsSlabs": (TASK, "slabs_are_scored_like_the_whole"),
    "NoScalar": (LOSS, "a_loss_is_finite_and_has_a_gradient"),
    "UpsideDown": (LOSS, "a_loss_is_less_for_the_truth_than_for_noise"),
    "CountsWhatWeighsNothing": (LOSS, "what_weighs_nothing_does_not_count"),
    "DividesByNothing": (LOSS, "a_loss_is_finite_where_nothing_counts"),
    "TakesAnotherChannel": (
        NETWORK, "the_network_takes_what_is_announced", "the_network_makes_the_channels_announced",
        "the_output_lies_inside_the_input", "a_larger_input_makes_a_larger_output",
        "weights_load_into_another", "a_batch_of_two_is_two_batches_of_one",
        "shifting_the_input_shifts_the_output", "training_gives_gradients",
    ),
    "MakesAnotherChannel": (NETWORK, "the_network_makes_the_channels_announced"),
    "LargeVoxels": (
        NETWORK, "the_output_lies_inside_the_input", "a_larger_input_makes_a_larger_output",
        "shifting_the_input_shifts_the_output",
    ),
    "OneSize": (NETWORK, "a_larger_input_makes_a_larger_output"),
    "AlwaysTheSame": (NETWORK, "networks_are_made_anew"),
    "Hidden": (NETWORK, "weights_load_into_another"),
    "MixesTheBatch": (NETWORK, "a_batch_of_two_is_two_batches_of_one"),
    "KnowsWhereItIs": (NETWORK, "shifting_the_input_shifts_the_output"),
    "Detached": (NETWORK, "training_gives_gradients"),
    "NeverTrains": (TRAINER, "a_trainer_can_train"),
    "CountsFromOne": (TRAINER, "iterations_are_reported_one_by_one", "training_goes_on_where_it_left_off"),
    "LargeBatches": (TRAINER, "batches_are_what_the_model_takes"),
    "Idle": (TRAINER, "training_changes_the_model"),
    "Unseeded": (TRAINER, "the_same_seed_makes_the_same_batches", "training_goes_on_where_it_left_off"),
    "SameForAllSeeds": (TRAINER, "another_seed_makes_other_batches"),
    "Forgets": (TRAINER, "training_goes_on_where_it_left_off"),
    "RunsOn": (TRAINER, "nothing_goes_on_after_the_end"),
    "MakesDoubles": (AUGMENT, "patches_keep_their_shape"),
    "MirrorsTheImage": (AUGMENT, "image_and_labels_move_together"),
    "InventsLabels": (AUGMENT, "labels_stay_labels"),
    "DrawsElsewhere": (AUGMENT, "chance_comes_from_the_generator"),
    "ChangesItsConfig": (AUGMENT, "configs_are_left_alone"),
    "WithoutUnits": (ArrayConfig, "the_geometry_goes_together"),
    "OfAnotherType": (ArrayConfig, "voxels_are_of_the_announced_type"),
    "FromTheBeginning": (ArrayConfig, "a_part_equals_a_slice_of_the_whole", "voxels_are_indexed_as_in_numpy"),
    "WithoutSteps": (ArrayConfig, "voxels_are_indexed_as_in_numpy"),
    "Boundless": (ArrayConfig, "nothing_lies_outside"),
    "OtherInThreads": (ArrayConfig, "reading_again_gives_the_same"),
    "CalledOtherwise": (DatasetConfig, "a_dataset_is_called_as_its_config"),
    "PromisesMore": (DatasetConfig, "the_arrays_hold_what_they_say"),
    "TruthElsewhere": (DatasetConfig, "image_and_ground_truth_belong_together"),
    "PointsOutside": (DatasetConfig, "sample_points_lie_in_the_image"),
    "NothingToTrainOn": (DataSplitConfig, "there_is_something_to_train_on"),
    "ValidatesWithoutTruth": (DataSplitConfig, "what_is_validated_on_has_ground_truth"),
    "Namesakes": (DataSplitConfig, "datasets_have_names_of_their_own"),
    "MixedVoxels": (DataSplitConfig, "all_images_are_alike"),
    "BrokenPart": (DataSplitConfig, "every_dataset_holds_together"),
    "HalfLoaded": (START, "weights_get_into_the_model"),
    "MatchesByPosition": (START, "channels_are_matched_by_name"),
    "TakesAnything": (START, "weights_that_do_not_fit_are_refused"),
    "Nameless": (START, "a_start_says_whose_weights"),
}  # fmt: skip
CAUGHT: dict[str, tuple[str, ...]] = {}


def planted(base: type, component: str) -> type:
    """Make the config type of a component of ``planted.components``."""
    attributes = {
        "__module__": __name__,
        "__doc__": "A type with one fault.",
        base.builds: implemented_by(f"planted.components:{component}"),
    }
    return attrs.define(kw_only=True)(type(f"{component}Config", (base,), attributes))


for _name, (_base, *_checks) in FAULTS.items():
    globals()[f"{_name}Config"] = planted(_base, _name)
    CAUGHT[f"{_name}Config"] = tuple(_checks)


def caught_by(*checks: str) -> Any:
    """Note which checks are to catch a type."""

    def note(cls: type) -> type:
        CAUGHT[cls.__name__] = checks
        return cls

    return note


@caught_by("shapes_are_announced")
class FlatConfig(planted(NETWORK, "DimsOfItsOwn")):
    """A network whose config says that it has two dimensions."""

    @property
    def dims(self) -> int:
        return 2


@caught_by("probability_zero_changes_nothing")
class AlwaysOnConfig(planted(AUGMENT, "Brightens")):
    """An augment that cannot be switched off."""

    def check(self) -> None:
        self.augmentation_probability = 1.0


class _Lost:
    def verify(self) -> tuple[bool, str]:
        return False, "there is no file"


@caught_by("what_it_points_at_is_there")
class LostArrayConfig(_Lost, planted(ArrayConfig, "Counting")):
    """An array whose file is not there."""


@caught_by("what_a_dataset_points_at_is_there")
class LostDatasetConfig(_Lost, planted(DatasetConfig, "Blob")):
    """A dataset whose files are not there."""


@caught_by("what_a_datasplit_points_at_is_there")
class LostSplitConfig(_Lost, planted(DataSplitConfig, "Split")):
    """A datasplit whose files are not there."""


@caught_by("equal_sets_are_one_key")
@attrs.frozen
class ForgetfulSet(PostProcessorParameters):
    """A set of which a value does not count."""

    size: int = attrs.field(default=1, eq=False, metadata={"help_text": "A size."})

    def words(self) -> str:
        return f"size_{self.size}"


@caught_by("sets_cannot_be_changed")
@attrs.define(unsafe_hash=True)
class OpenSet(PostProcessorParameters):
    """A set that can be changed."""

    __setattr__ = object.__setattr__


@caught_by("words_are_fit_for_a_path")
@attrs.frozen
class SlashedSet(PostProcessorParameters):
    """A set whose words are a path of their own."""

    size: int = field("A size.", default=1)

    def words(self) -> str:
        return f"size/{self.size}"


@caught_by("words_tell_sets_apart")
@attrs.frozen
class TerseSet(PostProcessorParameters):
    """A set whose words do not say its value."""

    size: int = field("A size.", default=1)


@caught_by("criteria_have_meanings")
@attrs.define(kw_only=True)
class ReversedScores(EvaluationScores):
    """Scores whose bounds are the wrong way round."""

    size: float = score("A size.", (1.0, 0.0), "high")


@caught_by("scores_begin_as_nan")
@attrs.define(kw_only=True)
class PresetScores(EvaluationScores):
    """Scores that are there before anything is measured."""

    size: float = score("A size.", (0.0, 1.0), "high")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.size = 0.5


@caught_by("unknown_criteria_are_refused")
@attrs.define(kw_only=True)
class PoliteScores(EvaluationScores):
    """Scores that have an answer to everything."""

    size: float = score("A size.", (0.0, 1.0), "high")

    @classmethod
    def bounds(cls, criterion: str) -> tuple[float, float]:
        return 0.0, 1.0


@caught_by("a_command_runs")
@attrs.define(kw_only=True)
class ThroughAShell(ComputeContext):
    """A place that lets a shell take arguments apart."""

    def execute(self, command: list[str]) -> None:
        program, flag, code, *rest = command
        subprocess.run(f"'{program}' {flag} \"{code}\" {' '.join(rest[:2])}", shell=True, check=True)


@caught_by("the_environment_reaches_the_command")
@attrs.define(kw_only=True)
class WithoutEnvironment(ComputeContext):
    """A place where commands begin with an empty environment."""

    def execute(self, command: list[str]) -> None:
        subprocess.run(command, check=True, env={"PATH": os.environ["PATH"]})


@caught_by("a_failed_command_is_an_error")
@attrs.define(kw_only=True)
class NeverFails(ComputeContext):
    """A place that does not look how it went."""

    def execute(self, command: list[str]) -> None:
        subprocess.run(command, check=False)


@caught_by("wrapping_leaves_the_command_alone")
@attrs.define(kw_only=True)
class ChangesTheCommand(ComputeContext):
    """A place that writes into what it is given."""

    def wrap_command(self, command: list[str]) -> list[str]:
        command.insert(0, "env")
        return command


@caught_by("the_device_is_one_of_torch")
@attrs.define(kw_only=True)
class StrangeDevice(ComputeContext):
    """A place with a device that nobody knows."""

    @property
    def device(self) -> str:
        return "graphics card"


@caught_by("explains_itself")
@attrs.define
class SilentConfig(MSELossConfig):
    """A loss with a field that is not explained."""

    size: int = 1


@caught_by("refuses_nonsense")
@attrs.define
class CredulousConfig(MSELossConfig):
    """A loss that takes any value."""

    size: int = field("A size.", default=1)

    def __attrs_post_init__(self) -> None:
        """Check nothing."""


@caught_by("survives_storing")
@attrs.define
class RoundedConfig(MSELossConfig):
    """A loss whose value is another each time it is read."""

    size: int = field("A size.", default=1)

    def check(self) -> None:
        self.size += 1


@caught_by("has_an_example")
@attrs.define
class UnlikeItselfConfig(MSELossConfig):
    """A loss whose example is of another type."""

    @classmethod
    def example(cls) -> Any:
        return MSELossConfig("example")


@caught_by("builds")
@attrs.define
class WornConfig(MSELossConfig):
    """A loss that is changed by being built."""

    size: int = field("A size.", default=1)

    @property
    def loss_type(self) -> Any:
        def build(config: WornConfig) -> WornConfig:
            config.size += 1
            return config

        from dacapo.experiments.tasks.losses import MSELoss

        return lambda config: MSELoss(build(config))


@caught_by("survives_a_worker")
@attrs.define
class ClingingConfig(MSELossConfig):
    """A loss that cannot leave its process."""

    def __reduce__(self) -> Any:
        raise TypeError("it holds a lock")


@caught_by("is_qualified")
@attrs.define
class MisnamedConfig(MSELossConfig):
    """A loss that is offered under the name of another class."""


@attrs.define
class UnofferedConfig(MSELossConfig):
    """A loss that nobody offers."""
