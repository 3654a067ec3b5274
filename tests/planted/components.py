"""What the types of ``planted.configs`` build: our own components, each with one fault."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi
from torch import nn

from dacapo.experiments.architectures.dummy import DummyArchitecture
from dacapo.experiments.datasplits import DataSplit
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.starts import LoadedWeights, Start
from dacapo.experiments.tasks.distance import DistanceTask
from dacapo.experiments.tasks.dummy import DummyTask
from dacapo.experiments.tasks.losses import Loss, MSELoss
from dacapo.experiments.trainers import Augment
from dacapo.experiments.trainers.dummy import DummyTrainer
from dacapo.testing.volumes import MemoryDataset, image_of


def faulty(part, **methods):
    """Put methods, which get the original as their second argument, in place of those of a part."""
    for name, method in methods.items():
        original = getattr(part, name)
        setattr(part, name, lambda *a, m=method, o=original, **k: m(o, *a, **k))
    return part


# tasks


class UnnamedChannels(DistanceTask):
    channels = property(lambda self: ["a", "a"])


class OneChannelTooMany(DistanceTask):
    def create_model(self, architecture):
        self.predictor.channels.append("c")
        return super().create_model(architecture)


def moved(array, by):
    return NumpyArray(array.data, array.voxel_size, array.offset + array.voxel_size * by, array.axis_names)


class WeightsElsewhere(DistanceTask):
    def __init__(self, config):
        super().__init__(config)

        def create_weight(original, *arguments):
            weight, counts = original(*arguments)
            return moved(weight, 1), counts

        faulty(self.predictor, create_weight=create_weight)


class TargetsNotFinite(DistanceTask):
    def __init__(self, config):
        super().__init__(config)

        def create_target(original, gt, roi=None):
            target = original(gt, roi)
            if roi is None:
                target.data[:, 0, 0, 0] = np.nan
            return target

        faulty(self.predictor, create_target=create_target)


class NegativeWeights(DistanceTask):
    def __init__(self, config):
        super().__init__(config)

        def create_weight(original, *arguments):
            weight, counts = original(*arguments)
            weight.data[:, -1, -1, -1] = -1e-3
            return weight, counts

        faulty(self.predictor, create_weight=create_weight)


class WholeForARegion(DistanceTask):
    def __init__(self, config):
        super().__init__(config)
        faulty(self.predictor, create_target=lambda original, gt, roi=None: original(gt))


class ScratchesTheTruth(DistanceTask):
    def __init__(self, config):
        super().__init__(config)

        def create_weight(original, gt, target, *rest):
            made = original(gt, target, *rest)
            gt.data[..., -1, -1, -1] ^= 1
            return made

        faulty(self.predictor, create_weight=create_weight)


class ForgetsTheMask(DistanceTask):
    def __init__(self, config):
        super().__init__(config)

        def create_weight(original, gt, target, mask=None, counts=None):
            return original(gt, target, None, counts)

        faulty(self.predictor, create_weight=create_weight)


class CountsWhatIsMasked(DistanceTask):
    def __init__(self, config):
        super().__init__(config)
        faulty(self.predictor, class_counts=lambda original, gt, mask=None: original(gt))


class SeesTooLittle(DistanceTask):
    def __init__(self, config):
        super().__init__(config)
        faulty(self.predictor, gt_region_for_roi=lambda original, roi, voxel_size: roi)


class NoScalar(MSELoss):
    def compute(self, prediction, target, weight=None):
        return super().compute(prediction, target, weight)[None]


class UpsideDown(MSELoss):
    def compute(self, prediction, target, weight=None):
        return -super().compute(prediction, target, weight)


class CountsWhatWeighsNothing(MSELoss):
    def compute(self, prediction, target, weight=None):
        return super().compute(prediction, target, None if weight is None else weight + weight.mean() / 10)


class DividesByNothing(Loss):
    def compute(self, prediction, target, weight=None):
        weight = torch.ones_like(target) if weight is None else weight
        return ((prediction - target).square() * weight).sum() / weight.sum()


class LossWithoutScalar(DistanceTask):
    def __init__(self, config):
        super().__init__(config)
        self.loss = NoScalar()


class LossUpsideDown(DistanceTask):
    def __init__(self, config):
        super().__init__(config)
        self.loss = UpsideDown()


class LossOfMasked(DistanceTask):
    def __init__(self, config):
        super().__init__(config)
        self.loss = CountsWhatWeighsNothing()


class LabelsOfFloats(DistanceTask):
    def __init__(self, config):
        super().__init__(config)
        faulty(self.post_processor, segment=lambda original, *a: original(*a).astype(np.float32))


class LooksAtItsBlock(DistanceTask):
    def __init__(self, config):
        super().__init__(config)
        faulty(self.post_processor, segment=lambda original, block, p: original(block - block.mean(), p))


class BeyondItsBounds(DummyTask):
    def __init__(self, config):
        super().__init__(config)

        def evaluate(original, *arguments):
            scores = original(*arguments)
            scores.frizz_level += 2
            return scores

        faulty(self.evaluator, evaluate=evaluate)


class WrongDirection(DistanceTask):
    def __init__(self, config):
        super().__init__(config)
        faulty(self.evaluator, higher_is_better=lambda original, criterion: not original(criterion))


class NothingWins(DistanceTask):
    def __init__(self, config):
        super().__init__(config)

        def compare(original, score, other, criterion):
            return other is not None and original(score, other, criterion)

        faulty(self.evaluator, compare=compare)


class MakesUpAPrediction(DistanceTask):
    def __init__(self, config):
        super().__init__(config)

        def process(original, *arguments):
            return original(*arguments) if self.post_processor.prediction is not None else np.zeros(1)

        faulty(self.post_processor, process=process)


class ScoresByTheMask(DistanceTask):
    def __init__(self, config):
        super().__init__(config)

        def evaluate(original, output, truth, mask=None):
            return original(output, truth) if mask is None else self.evaluation_scores

        faulty(self.evaluator, evaluate=evaluate)


class ForgetsSlabs(DistanceTask):
    def __init__(self, config):
        super().__init__(config)
        faulty(self.evaluator, slabs=lambda original, output: original(output)[:1])


# architectures


class Around(nn.Module):
    """A network and what is done with its output."""

    def __init__(self, network, change):
        super().__init__()
        self.network, self.change = network, change

    def forward(self, raw):
        return self.change(self.network(raw))


class DimsOfItsOwn(DummyArchitecture):
    dims = 3


class TakesAnotherChannel(DummyArchitecture):
    def module(self):
        return nn.Conv3d(self.num_in_channels + 1, self.num_out_channels, 3)


class MakesAnotherChannel(DummyArchitecture):
    def module(self):
        return nn.Conv3d(self.num_in_channels, self.num_out_channels + 1, 3)


class LargeVoxels(DummyArchitecture):
    def scale(self, voxel_size):
        return Coordinate(voxel_size) * 2


class OneSize(DummyArchitecture):
    def module(self):
        return Around(super().module(), nn.AdaptiveAvgPool3d((38, 18, 18)))


class AlwaysTheSame(DummyArchitecture):
    kept = None

    def module(self):
        AlwaysTheSame.kept = AlwaysTheSame.kept or super().module()
        return AlwaysTheSame.kept


class Hidden(DummyArchitecture):
    def module(self):
        factor = torch.rand(1)
        return Around(super().module(), lambda out: out * factor)


class MixesTheBatch(DummyArchitecture):
    def module(self):
        return Around(super().module(), lambda out: out - out.mean(dim=0, keepdim=True))


class KnowsWhereItIs(DummyArchitecture):
    def module(self):
        return Around(super().module(), lambda out: out + torch.arange(out.shape[-1]))


class Detached(DummyArchitecture):
    def module(self):
        return Around(super().module(), lambda out: out.detach())


# trainers


class NeverTrains(DummyTrainer):
    def can_train(self, datasets):
        return False


class CountsFromOne(DummyTrainer):
    def iterate(self, *arguments):
        for stats in super().iterate(*arguments):
            yield type(stats)(stats.iteration + 1, stats.loss, stats.time)


class LargeBatches(DummyTrainer):
    def _noise(self, model):
        return torch.cat([super()._noise(model)] * 2)


class Idle(DummyTrainer):
    def create_optimizer(self, model):
        return torch.optim.SGD(model.parameters(), lr=0.0)


class Unseeded(DummyTrainer):
    def _noise(self, model):
        return torch.randn(self.batch_size, model.num_in_channels, *model.input_shape)


class SameForAllSeeds(DummyTrainer):
    def _noise(self, model):
        self.seed = 0
        return super()._noise(model)


class Forgets(DummyTrainer):
    def state_dict(self):
        return {}


class RunsOn(DummyTrainer):
    def build_batch_provider(self, *arguments):
        super().build_batch_provider(*arguments)
        threading.Thread(target=time.sleep, args=(1.0,), name="making batches").start()


# augments


class MakesDoubles(Augment):
    def change(self, patch, random):
        patch.raw = patch.raw.astype(np.float64)


class MirrorsTheImage(Augment):
    def change(self, patch, random):
        patch.raw = patch.raw[..., ::-1]


class InventsLabels(Augment):
    def change(self, patch, random):
        patch.gt = patch.gt.copy()
        patch.gt[0, 0, 0] = 99


class Brightens(Augment):
    def change(self, patch, random):
        patch.raw = patch.raw + np.float32(0.1)


class DrawsElsewhere(Augment):
    def change(self, patch, random):
        patch.raw = patch.raw + np.float32(np.random.uniform(0, 0.1))  # noqa: NPY002


class ChangesItsConfig(Augment):
    def change(self, patch, random):
        self.config.augmentation_probability = 0.5


# arrays


class Counting(NumpyArray):
    def __init__(self, config):
        data = np.arange(12 * 10 * 8, dtype=np.uint16).reshape(12, 10, 8)
        super().__init__(data, (8, 8, 8), (16, 0, 8), name=config.name)


class WithoutUnits(Counting):
    def __init__(self, config):
        super().__init__(config)
        self.units = ["nm"]


class OfAnotherType(Counting):
    def _read(self, slices):
        return super()._read(slices).astype(np.float32)


class FromTheBeginning(Counting):
    def _read(self, slices):
        return super()._read(tuple(slice(0, s.stop - s.start) for s in slices))

    def _index(self, keys):
        return np.asarray(self._data[keys])


class WithoutSteps(Counting):
    def _index(self, keys):
        return super()._index(tuple(slice(k.start, k.stop) if isinstance(k, slice) else k for k in keys))


class Boundless(Counting):
    def __getitem__(self, key):
        return self.to_ndarray(key) if isinstance(key, Roi) else super().__getitem__(key)


class OtherInThreads(Counting):
    def _read(self, slices):
        return super()._read(slices) + (threading.current_thread() is not threading.main_thread())


# datasets and datasplits


def volume(name, voxel=8, offset=0, gt_offset=None):
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[2:5, 2:5, 2:5] = 1
    raw = NumpyArray(image_of(labels), (voxel,) * 3, (offset,) * 3, name="image")
    gt_offset = offset if gt_offset is None else gt_offset
    return MemoryDataset(name, raw, NumpyArray(labels, (voxel,) * 3, (gt_offset,) * 3, name="labels"))


class Blob(MemoryDataset):
    def __init__(self, config):
        whole = volume(config.name)
        super().__init__(config.name, whole.raw, whole.gt)


class CalledOtherwise(Blob):
    def __init__(self, config):
        super().__init__(config)
        self.name = "another"


class PromisesMore(Blob):
    def __init__(self, config):
        super().__init__(config)
        self.raw.shape = (1, 16, 8, 8)


class TruthElsewhere(MemoryDataset):
    def __init__(self, config):
        whole = volume(config.name, gt_offset=800)
        super().__init__(config.name, whole.raw, whole.gt)


class PointsOutside(Blob):
    def __init__(self, config):
        super().__init__(config)
        self.sample_points = [Coordinate(100, 0, 0)]


class Split(DataSplit):
    def __init__(self, config):
        super().__init__(config.name, [volume("a")], [volume("b")])


class NothingToTrainOn(Split):
    def __init__(self, config):
        super().__init__(config)
        self.train = []


class ValidatesWithoutTruth(Split):
    def __init__(self, config):
        super().__init__(config)
        self.validate = [MemoryDataset("b", self.train[0].raw)]


class Namesakes(Split):
    def __init__(self, config):
        super().__init__(config)
        self.train = [volume("a"), volume("a")]


class MixedVoxels(Split):
    def __init__(self, config):
        super().__init__(config)
        self.validate = [volume("b", voxel=4)]


class BrokenPart(Split):
    def __init__(self, config):
        super().__init__(config)
        self.train = [PromisesMore(SimpleNamespace(name="a"))]


# starts


class HalfLoaded(Start):
    def initialize_weights(self, model, weights, old_head=None, new_head=None):
        if old_head is not None or len(next(iter(weights.values())).shape) < 3:
            return super().initialize_weights(model, weights, old_head, new_head)
        own = model.state_dict()
        model.load_state_dict({k: own[k] if k.startswith("chain.1.") else v for k, v in weights.items()})
        return LoadedWeights(tuple(own))


class MatchesByPosition(Start):
    def initialize_weights(self, model, weights, old_head=None, new_head=None):
        old_head = old_head and [f"{i}" if i >= len(new_head) else new_head[i] for i in range(len(old_head))]
        return super().initialize_weights(model, weights, old_head, new_head)


class TakesAnything(Start):
    def initialize_weights(self, model, weights, old_head=None, new_head=None):
        own = model.state_dict()
        if old_head is not None:
            return super().initialize_weights(model, weights, old_head, new_head)
        model.load_state_dict({k: v if v.shape == own[k].shape else own[k] for k, v in weights.items()})
        return LoadedWeights(tuple(own))


class Nameless(Start):
    def __init__(self, config):
        super().__init__(config)
        self.run = ""
