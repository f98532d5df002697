"""What passes between the parts of scoring: plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

PARAMETERS: Final = ("inputs", "outputs", "expectations", "trace")
"""What a scorer may ask for by the names of its parameters."""
OF_SESSIONS: Final = ("session", "expectations")
"""What a scorer that judges whole sessions may ask for: their traces, and what was expected of the first."""
DEFAULT_SECONDS: Final = 300.0
"""How long a scorer may take that names no timeout: MLflow's own default."""


class ScorerError(ValueError):
    """A scorer cannot be started as asked; the message says why and what to do.

    Example:
        >>> handle = mlflow_otel.instrument()
        >>> try:
        ...     handle.scorers.start(lambda outputs: True)
        ... except mlflow_otel.ScorerError as error:
        ...     print(str(error)[:26])
        A scorer needs a name: its
    """


@dataclass
class ScorerSamplingConfig:
    """Which traces a scorer sees; MLflow's own class where the full ``mlflow`` is installed.

    Args:
        sample_rate: The share of traces, 0 to 1; 1 when None.
        filter_string: Only these traces, in the language of ``mlflow.search_traces``; all when None.

    Example:
        >>> config = mlflow_otel.ScorerSamplingConfig(sample_rate=0.1, filter_string="status = 'OK'")
        >>> config.sample_rate
        0.1
    """

    sample_rate: float | None = None
    filter_string: str | None = None


class Prepared(NamedTuple):
    """A scorer, ready to be called.

    Args:
        name: Its name.
        call: Calls it with the arguments that it takes.
        takes: Which of ``PARAMETERS`` these are, or of ``OF_SESSIONS``.
        digest: Of its source, or of its prompt and model.
        version: The registered version, or None.
        seconds: The timeout that it names, or None; 0: it has none.
        session: Whether it judges the traces of a session together.
    """

    name: str
    call: Callable[..., Any]
    takes: frozenset[str]
    digest: str
    version: str | None = None
    seconds: float | None = None
    session: bool = False


class ScorerStatus(NamedTuple):
    """A started scorer as ``handle.scorers.list()`` shows it.

    Args:
        name: Its name.
        sampling_config: The one in force.
        digest: Of its source, or of its prompt and model.
        runs: How often it ran in this process.
        failed: How many of these failed.
        sampled_out: Traces that its rate or its filter left out.
        dropped: Traces that it was to score and did not, by cause.
        cost: US dollars it has cost today (UTC), as far as its results say.
        open: Whether its breaker is open: it failed again and again and is tried once a minute.
    """

    name: str
    sampling_config: Any
    digest: str
    runs: int
    failed: int
    sampled_out: int
    dropped: Mapping[str, int]
    cost: float
    open: bool
