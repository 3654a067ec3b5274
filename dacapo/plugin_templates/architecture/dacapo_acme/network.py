"""The network itself."""

from torch import nn

from dacapo.experiments.architectures import Architecture


class AcmeArchitecture(Architecture):
    """Convolutions, each but the last followed by a rectifier."""

    def module(self):
        kind = {2: nn.Conv2d, 3: nn.Conv3d}[self.dims]
        widths = [self.num_in_channels, *[self.config.width] * (self.config.depth - 1), self.num_out_channels]
        layers = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [kind(before, after, 3), nn.ReLU()]
        return nn.Sequential(*layers[:-1])
