"""What every request passes through; the order is this tuple."""

from service.middleware.errors import errors
from service.middleware.guard import guard
from service.middleware.identity import identity
from service.middleware.usage import usage

MIDDLEWARE = (errors, guard, identity, usage)
