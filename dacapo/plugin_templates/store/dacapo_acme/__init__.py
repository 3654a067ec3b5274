"""A store for DaCapo."""
