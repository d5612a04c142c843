"""Which proxy a request takes: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as other programs read them.

aiohttp could read them by itself, but would also take user names and passwords out of ~/.netrc.
"""

from urllib.parse import urlsplit
from urllib.request import getproxies_environment
from urllib.request import proxy_bypass_environment as bypassed  # type: ignore[attr-defined]  # unlisted there

from service.errors import ProviderError


class Proxies:
    """The environment's proxies, as they stand when this is made."""

    def __init__(self) -> None:
        self._proxies = getproxies_environment()

    def apply(self, url: str) -> bool:
        """Whether there is one for this address."""
        address = urlsplit(url)
        return bool(self._proxies.get(address.scheme)) and not bypassed(address.netloc, self._proxies)

    def of(self, url: str) -> str | None:
        """The proxy for this address; raises `ProviderError` for one that is not spoken here."""
        if not self.apply(url):
            return None
        address = urlsplit(url)
        proxy = self._proxies[address.scheme]
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        if not proxy.startswith(("http://", "https://")):
            raise ProviderError(
                f"{address.scheme.upper()}_PROXY names a proxy of another kind than http:// or https://."
                " Name one of these, or set proxy = false in the provider's row."
            )
        return proxy
