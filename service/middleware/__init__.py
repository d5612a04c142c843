"""What every request passes through; the order is this tuple.

Those that have nothing to do afterwards are no coroutines: a stream would keep their frames while it lasts.
"""

from service.middleware.errors import errors
from service.middleware.guard import guard
from service.middleware.identity import identity
from service.middleware.metrics import metrics
from service.middleware.usage import usage

MIDDLEWARE = (metrics, errors, guard, identity, usage)
