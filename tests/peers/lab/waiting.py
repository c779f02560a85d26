"""Waiting for something, never for ever."""

import time


class NeverCame(Exception):
    """What was waited for did not come in time."""


def until(what, condition, within=20.0, every=0.1):
    """The first true value of `condition()`. After `within` seconds: `NeverCame`, which says `what` and what came last."""
    end = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise NeverCame(f"not within {within:g} s: {what} (last: {value!r})")
        time.sleep(every)
