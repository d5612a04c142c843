"""An issuer of JSON Web Tokens on the loopback."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.serving import Json, serving

RSA, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))
CURVE = ec.generate_private_key(ec.SECP256R1())
AUDIENCE = "causerie"


def published(**private: Any) -> Json:
    """The public keys, as a JWK Set, by their ids."""
    keys = []
    for id, key in private.items():
        kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
        keys.append(json.loads(kind.to_jwk(key.public_key())) | {"kid": id, "use": "sig"})
    return {"keys": keys}


class Login:
    """An issuer; it counts how often it was asked for its keys."""

    def __init__(self) -> None:
        self.keys, self.asked = published(one=RSA, curve=CURVE), 0
        self.called: str | None = None
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._described)
        app.router.add_get("/keys", self._keys)
        self.server = TestServer(app, host="127.0.0.1")

    @property
    def url(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    async def _described(self, _: web.Request) -> web.Response:
        return web.json_response({"issuer": self.called or self.url, "jwks_uri": f"{self.url}/keys"})

    async def _keys(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response(self.keys)

    def token(self, key: Any = RSA, id: str | None = "one", algorithm: str = "RS256", **claims: Any) -> str:
        """A token that is right but for these claims; None leaves one out."""
        right = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "exp": time.time() + 600}
        said = {name: value for name, value in (right | claims).items() if value is not None}
        return jwt.encode(said, key, algorithm, headers={"kid": id} if id else None)


def trusting(directory: Path, login: Login, **variables: str) -> Any:
    issuer = {"CAUSERIE_KEYS_JWT_ISSUER": login.url, "CAUSERIE_KEYS_JWT_AUDIENCE": AUDIENCE}
    return serving(directory, **issuer | variables)
