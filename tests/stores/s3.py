"""An object storage for the tests, which speaks like Amazon's, on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer

NUMBERS = count()


class Storage:
    """A server; `url` makes a new bucket on it, and has the environment say how to get there."""

    def __init__(self, address: str) -> None:
        self._environment = {
            "AWS_ENDPOINT_URL": address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "nothing secret",
            "AWS_REGION": "us-east-1",
        }

    def url(self, patch: pytest.MonkeyPatch) -> str:
        for name, value in self._environment.items():
            patch.setenv(name, value)
        name = f"files-{next(NUMBERS)}"
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}/of/causerie"

    def client(self) -> "boto3.client":
        """As another program sees it."""
        return boto3.client(
            "s3",
            endpoint_url=self._environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="somebody",
            aws_secret_access_key="nothing secret",
            region_name="us-east-1",
        )


@contextmanager
def storing() -> Iterator[Storage]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield Storage("http://{}:{}".format(*server.get_host_and_port()))
    finally:
        server.stop()
