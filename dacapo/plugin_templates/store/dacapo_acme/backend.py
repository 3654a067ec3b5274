"""Where experiments are kept; what is asked of each method stands in ``StoreBackend``."""

from dacapo.store.files import FileBackend


class AcmeBackend(FileBackend):
    """Keeps everything in files below ``runs_base_dir``/acme."""

    @classmethod
    def from_options(cls, options):
        return cls(options.runs_base_dir / "acme")
