"""The embedded engine as the service runs it: says where it listens, and serves until its stdin ends."""

import asyncio
import json
import sys

from service.providers.engine import Engine, bundled_model
from service.sources import load


async def main() -> None:
    settings, model = load().embedded, bundled_model()
    if model is None:
        raise SystemExit("The embedded model is not installed.")
    engine = Engine(
        model,
        context_length=settings.context_length,
        parallel=settings.parallel,
        threads=settings.threads,
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(engine.run())
        await engine.ready()
        print(json.dumps({"socket": str(engine.socket), "key": engine.key}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        running.cancel()


if __name__ == "__main__":
    asyncio.run(main())
