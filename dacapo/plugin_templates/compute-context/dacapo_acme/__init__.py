"""A compute context for DaCapo: this machine, behind everybody else."""
