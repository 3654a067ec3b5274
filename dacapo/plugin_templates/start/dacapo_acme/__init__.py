"""A start for DaCapo: the weights of another run, some of which are not trained any more."""
