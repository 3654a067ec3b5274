"""A command for DaCapo: how many runs there are of each task."""
