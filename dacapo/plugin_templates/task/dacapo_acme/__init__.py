"""A task for DaCapo: where there is an object and where there is none."""
