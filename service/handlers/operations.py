"""For whoever runs the service: is it alive, is it ready, what does it do."""

from msgspec import Struct

from service.context import Context
from service.errors import Unavailable
from service.replies import Text
from service.routes import admin, anyone, route


class Condition(Struct):
    """`status` is "ok"."""

    status: str = "ok"


class Operations:
    """health, metrics."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.routes = {
            "/health/live": route(GET=self.live),
            "/health/ready": route(GET=self.ready),
            "/metrics": route(GET=self.metrics),
        }

    @anyone
    async def live(self) -> Condition:
        """The process answers."""
        return Condition()

    @anyone
    async def ready(self) -> Condition:
        """Turns can be answered and recorded; 503 says what is missing.

        The embedded model is not waited for.
        """
        if self._context.draining.is_set():
            raise Unavailable("The service is being stopped. Ask again when it is back.")
        if not self._context.registry.probed.is_set():
            raise Unavailable("The local providers are still being looked for. Ask again in a moment.")
        if failing := self._context.database.failing:
            raise Unavailable(f"What is answered cannot be recorded: {failing}")
        return Condition()

    @admin
    async def metrics(self) -> Text:
        """The metrics, in Prometheus' text format."""
        return Text(self._context.metrics.text().decode())
