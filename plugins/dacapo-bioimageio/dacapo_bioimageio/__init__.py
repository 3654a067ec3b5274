"""Models of the BioImage.IO zoo in DaCapo, and runs of DaCapo as packages for the zoo."""

from .configs import ModelZooConfig, ModelZooStartConfig

__all__ = ["ModelZooConfig", "ModelZooStartConfig"]
