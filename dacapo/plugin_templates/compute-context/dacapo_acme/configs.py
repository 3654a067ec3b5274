"""What can be said about the place; the config is the component."""

import attrs

from dacapo.compute_context import ComputeContext
from dacapo.config import field


@attrs.define(kw_only=True)
class AcmeContext(ComputeContext):
    """This machine, letting others go first."""

    niceness: int = field("From 0, as usual, to 19, after all others.", default=10)

    def check(self) -> None:
        if not 0 <= self.niceness <= 19:
            self.refuse("niceness", "should be from 0 to 19")

    def wrap_command(self, command: list[str]) -> list[str]:
        """Return the command line that runs ``command`` behind all others."""
        return ["nice", "-n", str(self.niceness), *command]
