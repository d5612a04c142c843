"""What every request passes through; the order is this tuple."""

from service.middleware.errors import errors
from service.middleware.guard import guard
from service.middleware.identity import identity
from service.middleware.metrics import metrics
from service.middleware.usage import usage

MIDDLEWARE = (metrics, errors, guard, identity, usage)
