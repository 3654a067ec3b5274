"""MONAI's networks and losses as architectures and losses of DaCapo."""

from .configs import (
    DynUNetConfig,
    MonaiArchitectureConfig,
    MonaiLossConfig,
    NetworkConfig,
    SegResNetConfig,
    SwinUNETRConfig,
    UNetConfig,
    UNETRConfig,
)

__all__ = [
    "DynUNetConfig",
    "MonaiArchitectureConfig",
    "MonaiLossConfig",
    "NetworkConfig",
    "SegResNetConfig",
    "SwinUNETRConfig",
    "UNETRConfig",
    "UNetConfig",
]
