"""A network for DaCapo: convolutions one after the other."""
