"""Lists of models as OpenAI-compatible upstreams write them: OpenAI says little, the others add their own.

Source: the API references' "List models". OpenRouter has an `architecture`, Together AI a `type` and nothing
around its list; Groq, Mistral and vLLM each have a name of their own for the length of the context.
"""

from typing import Any, TypeAlias

from msgspec import Struct

from service.providers.provider import Model


class Listed(Struct):
    """A model; what one of them writes otherwise than expected costs no more than itself."""

    id: str
    type: Any = None
    architecture: Any = None
    context_length: Any = None
    context_window: Any = None
    max_context_length: Any = None
    max_model_len: Any = None

    @property
    def drawn_in_chat(self) -> list[str]:
        """The modalities to ask for where a model makes pictures in a chat; else none."""
        says = self._modalities("output")
        return says if "image" in says else []

    @property
    def painted(self) -> bool:
        """Whether pictures are what it is for, asked for at a path of their own."""
        return bool(self.type == "image")

    def model(self) -> Model:
        lengths = (self.context_length, self.context_window, self.max_context_length, self.max_model_len)
        return Model(
            self.id,
            next((length for length in lengths if isinstance(length, int)), None),
            vision="image" in self._modalities("input"),
            image=self.painted or bool(self.drawn_in_chat),
            audio=self.type == "audio" or "audio" in self._modalities("output"),
        )

    def _modalities(self, way: str) -> list[str]:
        told = self.architecture.get(f"{way}_modalities") if isinstance(self.architecture, dict) else None
        return told if isinstance(told, list) else []


class _Enveloped(Struct):
    data: list[Listed]


Listing: TypeAlias = _Enveloped | list[Listed]


def models_of(listing: Listing) -> list[Listed]:
    return listing.data if isinstance(listing, _Enveloped) else listing
