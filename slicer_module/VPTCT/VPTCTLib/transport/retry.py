"""RetryRule: how often, and after what waits, something is asked again that is safe to repeat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import NotNowError, RefusedError, UnreachableError, UntrustedServerError


@dataclass(frozen=True)
class RetryRule:
    """The waits grow by ``factor`` each time.

    Attributes:
        attempts: in all, the first one among them.
        first_wait_seconds: before the second attempt.
        factor: how much longer each further wait is.
        longest_wait_seconds: also where the server asks for more: then it is not tried again.
    """

    attempts: int = 3
    first_wait_seconds: float = 0.5
    factor: float = 3.0
    longest_wait_seconds: float = 10.0

    def waits(self) -> Iterator[float]:
        """The waits between the attempts, in seconds."""
        wait = self.first_wait_seconds
        for _ in range(self.attempts - 1):
            yield min(wait, self.longest_wait_seconds)
            wait *= self.factor


def may_pass(error: Exception, longest_wait_seconds: float) -> bool:
    """Whether the same request may succeed soon."""
    if isinstance(error, UnreachableError):
        return not isinstance(error, UntrustedServerError)
    return isinstance(error, NotNowError) and (error.retry_after_seconds or 0) <= longest_wait_seconds


def wait_of(error: Exception, planned_seconds: float) -> float:
    """How long to wait after this error: what the server asks for, where it does."""
    asked = error.retry_after_seconds if isinstance(error, RefusedError) else None
    return max(planned_seconds, asked or 0)
