"""POST conversation: what web clients send and get. The streams are those of the contract, to the byte."""

from typing import Any

import pytest

from tests.conftest import ROW
from tests.serving import CONVERSATION, Json, Service, events, kinds, serving, text
from tests.upstream import (
    BadChunk,
    Close,
    Cut,
    Data,
    Done,
    ErrorChunk,
    Finish,
    Html,
    Reason,
    Reset,
    Say,
    Status,
    Step,
    ToolCall,
    Upstream,
    Usage,
    failure,
)
