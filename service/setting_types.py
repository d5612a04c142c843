"""What a value of the settings may be. Each type's description says what an error asks for.

One that is `UNPRINTED` may hold a secret: an error does not repeat what was written.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta

DAY = 86_400.0

LINE = r"[^\x00-\x1f\x7f\ud800-\udfff]"
UNPRINTED = {"unprinted": True}
Text = Annotated[str, Meta(pattern=rf"\A{LINE}*\Z", description="text on one line")]
Host = Annotated[str, Meta(pattern=r"\A[\w.:%-]+\Z", description="an address or a host name")]
Port = Annotated[int, Meta(ge=0, le=65_535, description="a port, 0 (any free one) to 65535")]
Socket = Annotated[str, Meta(pattern=rf"\A(/{LINE}*)?\Z", description="empty, or an absolute path")]
Switch = Annotated[bool, Meta(description="true or false")]
Seconds = Annotated[float, Meta(gt=0, le=DAY, description="a number of seconds, above 0 and at most 86400")]
SomeSeconds = Annotated[float, Meta(ge=0, le=DAY, description="a number of seconds, 0 to 86400")]
Bytes = Annotated[int, Meta(gt=0, description="an integer above 0 (bytes)")]
Count = Annotated[int, Meta(gt=0, description="an integer above 0")]
CountOrZero = Annotated[int, Meta(ge=0, description="an integer, 0 or more")]
Legacy = Annotated[Literal["auto", "on", "off"], Meta(description='"auto", "on" or "off"')]
Titles = Annotated[Literal["off", "local", "always"], Meta(description='"off", "local" or "always"')]
Level = Annotated[
    Literal["debug", "info", "warning", "error"],
    Meta(description='"debug", "info", "warning" or "error"'),
]
Format = Annotated[Literal["text", "json"], Meta(description='"text" or "json"')]
Hosts = Annotated[
    tuple[Annotated[str, Meta(pattern=r"\A[^\s/@]+\Z")], ...],
    Meta(description='a list of host names, such as ["chat.example"]'),
]
Origins = Annotated[
    tuple[Annotated[str, Meta(pattern=r"\Ahttps?://[^\s/@?#*]+\Z")], ...],
    Meta(description='a list of origins, such as ["https://chat.example"] (no path, no "*")'),
]
DatabaseUrl = Annotated[
    str,
    Meta(
        pattern=rf"\A((sqlite|postgresql)(\+\w+)?://{LINE}*)?\Z",
        description="empty, or an address that begins with sqlite:// or postgresql://",
        extra=UNPRINTED,
    ),
]
Name = Annotated[
    str,
    Meta(pattern=r"\A[\w.+-]+\Z", description="a name of letters, digits, dots, dashes (no space, no slash)"),
]
Url = Annotated[
    str,
    Meta(
        pattern=r"\Ahttps?://[^\s/?#@]+(/[^\s?#@]*)?\Z",
        description="an http or https address without user, password or query",
        extra=UNPRINTED,
    ),
]
OptionalUrl = Annotated[
    str,
    Meta(
        pattern=r"\A(https?://[^\s/?#@]+(/[^\s?#@]*)?)?\Z",
        description="empty, or an http or https address without user, password or query",
        extra=UNPRINTED,
    ),
]
StorageUrl = Annotated[
    str,
    Meta(
        pattern=r"\A((s3|gs|az)://[^\s/?#@]+(/[^\s?#@]*)?)?\Z",
        description="empty, or the address of an object storage that begins with s3://, gs:// or az://",
        extra=UNPRINTED,
    ),
]
Claim = Annotated[
    str,
    Meta(pattern=r"\A(\S+:[^\s:]+)?\Z", description='empty, or a claim and a value, such as "roles:admin"'),
]
Models = Annotated[tuple[Text, ...], Meta(description="a list of model names")]
KeyName = Annotated[
    str,
    Meta(
        pattern=r"\A([A-Z_][A-Z0-9_]*)?\Z",
        description="the NAME of the variable that holds the key, in capitals, never the key itself",
        extra=UNPRINTED,
    ),
]
Headers = Annotated[
    dict[Annotated[str, Meta(pattern=r"\A[\w!#$%&'*+.^`|~-]+\Z")], Text],
    Meta(description="a table of header names and their texts", extra=UNPRINTED),
]
Kind = Annotated[
    Literal["openai", "anthropic", "ollama"], Meta(description='"openai", "anthropic" or "ollama"')
]
Account = Annotated[
    Literal["", "openrouter", "deepseek"], Meta(description='"openrouter", "deepseek" or left out')
]
Renamed = Annotated[dict[Text, Text], Meta(description="a table of our model names and the provider's")]
Options = Annotated[dict[str, Any], Meta(description="a table of parameters and their values")]
Sizes = Annotated[
    tuple[Annotated[str, Meta(pattern=r"\A[1-9]\d{0,4}x[1-9]\d{0,4}\Z")], ...],
    Meta(description='a list of sizes in pixels, such as ["1024x1024"]'),
]
Names = Annotated[tuple[Name, ...], Meta(description='a list of names, such as ["edge", "local"]')]
Model = Annotated[str, Meta(pattern=rf"\A\S({LINE}*\S)?\Z", description="the name of a model")]
ModelPath = Annotated[
    str,
    Meta(
        pattern=rf"\A([\w.+-]+/\S({LINE}*\S)?)?\Z",
        description='empty, or a provider and one of its models, such as "OpenAI/text-embedding-3-small"',
    ),
]
Weight = Annotated[
    Annotated[float, Meta(gt=0, le=1_000_000)] | None,
    Meta(description="a number above 0 and at most 1000000"),
]
Dollars = Annotated[float, Meta(ge=0, le=1_000_000)]
Budget = Annotated[float, Meta(ge=0, le=1e12, description="a number of US dollars, 0 (no limit) or more")]
Messages = Annotated[int, Meta(ge=2, le=1_000_000, description="an integer, 2 to 1000000")]
Size = Annotated[int, Meta(ge=1000, description="an integer, 1000 or more")]
Limit = Annotated[int, Meta(ge=0, le=2**53, description="an integer, 0 (no limit) or more")]
RowCount = Annotated[Annotated[int, Meta(gt=0)] | None, Meta(description="an integer above 0")]
RowDollars = Annotated[
    Annotated[float, Meta(ge=0, le=1_000_000)] | None,
    Meta(description="a number of US dollars, 0 or more"),
]
RowSeconds = Annotated[
    Annotated[float, Meta(gt=0, le=DAY)] | None,
    Meta(description="a number of seconds, above 0 and at most 86400"),
]
