"""A datasplit for DaCapo: cross-validation."""
