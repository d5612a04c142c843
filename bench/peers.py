"""The peers, each in an environment of its own under .bench/, which `make bench-peers` makes."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import ROOT, Program, free_port, running

KEY = "sk-bench"
LITELLM = """
model_list:
  - model_name: bench
    litellm_params: {model: openai/bench, api_base: "http://127.0.0.1:UPSTREAM/v1", api_key: sk-none}
litellm_settings: {telemetry: false, request_timeout: 300}
general_settings: {master_key: KEY}
"""
SILENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
}
G4F = """
import logging, sys
from g4f.gui import get_gui_app
logging.getLogger("werkzeug").setLevel(logging.ERROR)
get_gui_app().run(host="127.0.0.1", port=int(sys.argv[1]), threaded=True)
"""


@contextmanager
def litellm(folder: Path, upstream: int) -> Iterator[Program | None]:
    """One worker, its least configuration, no logs. None where it is not installed."""
    binary, port = ROOT / ".bench/litellm/bin/litellm", free_port()
    if not binary.exists():
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "litellm.yaml"
    file.write_text(LITELLM.replace("UPSTREAM", str(upstream)).replace("KEY", KEY))
    options = [f"--config={file}", "--host=127.0.0.1", f"--port={port}", "--num_workers=1"]
    with running([str(binary), *options], port, folder / "log", **SILENT) as program:
        yield program._replace(key=KEY)


@contextmanager
def g4f(folder: Path, upstream: int) -> Iterator[Program | None]:
    """Its web server as its command `gui` starts it, no logs. None where it is not installed.

    Without the network it does not start, but with what it would have fetched.
    """
    python, port = ROOT / ".bench/g4f/bin/python", free_port()
    if not python.exists():
        yield None
        return
    providers = folder / f"cache/.models/{time.strftime('%Y-%m-%d')}/providers.json"
    providers.parent.mkdir(parents=True, exist_ok=True)
    row = {"baseUrl": f"http://127.0.0.1:{upstream}/v1"}
    providers.write_text(json.dumps({"providers": {"default": row}, "defaultModels": {}}))
    variables = {"HOME": str(folder), "G4F_CACHE_DIR": str(folder / "cache")}
    with running([str(python), "-c", G4F, str(port)], port, folder / "log", **variables) as program:
        yield program


def version(peer: str) -> str:
    """Of what is installed; empty where nothing is."""
    found = list((ROOT / ".bench" / peer).glob(f"lib/*/site-packages/{peer}-*.dist-info"))
    return found[0].name.removesuffix(".dist-info").partition("-")[2] if found else ""
