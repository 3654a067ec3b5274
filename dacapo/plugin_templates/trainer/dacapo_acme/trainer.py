"""The trainer itself: patches as usual, an optimizer of its own."""

import torch

from dacapo.experiments.trainers.patch_trainer import PatchTrainer


class AcmeTrainer(PatchTrainer):
    """Stochastic gradient descent with Nesterov's momentum, on random patches."""

    def create_optimizer(self, model):
        momentum = self.config.momentum
        return torch.optim.SGD(
            model.parameters(), lr=self.learning_rate, momentum=momentum, nesterov=momentum > 0
        )
