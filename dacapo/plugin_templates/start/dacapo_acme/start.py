"""The start itself."""

from dacapo.experiments.starts import Start


class AcmeStart(Start):
    """Loads weights as usual, and takes some of them out of training."""

    def initialize_weights(self, model, weights, old_head=None, new_head=None):
        loaded = super().initialize_weights(model, weights, old_head, new_head)
        for name, parameter in model.named_parameters():
            if name in loaded.tensors and name.startswith(self.config.frozen):
                parameter.requires_grad_(False)
        return loaded
