"""A load: when each job arrives and how long it takes. Generated here from seeded streams, or read by `traces.py`.

A load is made once and replayed against every design, so that differences between designs are differences between
designs. Each purpose has a random stream of its own, keyed by its name: drawing more arrivals never changes a service
time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from simulate.arrivals import Bursts as Bursts
from simulate.arrivals import Times as Times
from simulate.arrivals import bursty_arrivals as bursty_arrivals
from simulate.arrivals import cyclic_arrivals, even_arrivals, on_off_arrivals
from simulate.arrivals import index_of_dispersion as index_of_dispersion
from simulate.arrivals import poisson_arrivals as poisson_arrivals
from simulate.service_times import ServiceTimes


def stream(seed: int, name: str) -> np.random.Generator:
    """The random generator for one purpose. Equal seeds and names give equal numbers, whatever else is drawn."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(name.encode())))


@dataclass(frozen=True, eq=False)
class Load:
    """Jobs in the order of their arrival, with the seconds each takes, and in words what they are.

    Raises ValueError when there are none, or times do not fit together.
    """

    name: str
    words: str  # one or two sentences for the reader of a report
    arrived: Times  # seconds since the beginning, never decreasing
    service: Times  # seconds of work
    queues: tuple[str, ...] | None = None  # one per job, where the log names them
    assumed: tuple[str, ...] = ()  # what was not in the log and had to be assumed

    def __post_init__(self) -> None:
        if not len(self.arrived):
            raise ValueError(f"the load {self.name!r} has no jobs")
        if len(self.arrived) != len(self.service):
            raise ValueError(f"{len(self.arrived)} arrivals do not fit {len(self.service)} service times")
        if not (np.isfinite(self.arrived).all() and np.isfinite(self.service).all()):
            raise ValueError(f"the load {self.name!r} has times that are no finite numbers")
        if self.arrived[0] < 0 or (np.diff(self.arrived) < 0).any() or (self.service < 0).any():
            raise ValueError(f"the load {self.name!r} has times that are negative or go backwards")

    @property
    def jobs(self) -> int:
        """How many."""
        return len(self.arrived)

    @property
    def span(self) -> float:
        """Seconds from the beginning to the last arrival."""
        return float(self.arrived[-1])

    @property
    def rate(self) -> float:
        """Arrivals per second."""
        return self.jobs / self.span if self.span else float("inf")

    @property
    def offered(self) -> float:
        """The offered load in erlangs: how many processes the work would keep busy if it could be spread evenly."""
        return float(self.service.sum()) / self.span if self.span else float("inf")

    def figures(self) -> dict[str, Any]:
        """The load in numbers, for the report."""
        mean = float(self.service.mean())
        instant = not self.span  # all at once: there is no rate then, and JSON has no infinity
        return {
            "jobs": self.jobs,
            "span_seconds": self.span,
            "arrivals_per_second": None if instant else self.rate,
            "service_mean_seconds": mean,
            "service_squared_variation": float(self.service.var()) / mean**2 if mean else 0.0,
            "offered_erlangs": None if instant else self.offered,
            "dispersion_1s": index_of_dispersion(self.arrived, 1.0),
            "dispersion_60s": index_of_dispersion(self.arrived, 60.0),
        }


def service_times(
    kind: str, mean: float, jobs: int, generator: np.random.Generator, *, variation: float = 4.0
) -> Times:
    """Seconds of work per job, of a kind that `ServiceTimes` knows, with that squared variation where it can be chosen.

    Raises ValueError for any other kind.
    """
    return ServiceTimes(kind, mean, variation).draw(jobs, generator)


@dataclass(frozen=True)
class TokenModel:
    """Seconds of work from the size of a request to a language model: a + b · context tokens + c · generated tokens.

    The published trace has sizes only. These three are assumed, not measured: a large model on one accelerator without
    batching reads some ten thousand tokens a second and writes some twenty.
    """

    a: float = 0.1
    b: float = 0.0001
    c: float = 0.05

    def seconds(self, context: Times, generated: Times) -> Times:
        """The work in each request."""
        return self.a + self.b * context + self.c * generated

    def words(self) -> str:
        """The model as a formula, said to be assumed."""
        return f"service = {self.a:g} s + {self.b:g} s per context token + {self.c:g} s per generated token (assumed)"


# The code-completion trace published with Patel et al., "Splitwise: Efficient Generative LLM Inference Using Phase
# Splitting", ISCA 2024 (AzureLLMInferenceTrace_code 2023, CC-BY 4.0, Microsoft): 8,819 requests in 57 minutes of
# November 2023. Its rate, its burstiness, and quantiles of its sizes; the two sizes are uncorrelated there (-0.02).
AZURE_RATE = 2.57
AZURE_BURSTS = Bursts(at_one_second=13.0, at_one_minute=161.0)
AZURE_PROBABILITIES = (
    0,
    0.01,
    0.05,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    0.95,
    0.98,
    0.99,
    0.995,
    0.998,
    0.999,
    1,
)
AZURE_CONTEXT = (3, 17, 75, 147, 386, 770, 1075, 1469, 1909, 2433, 3192, 5188, 7303, 7436, 7436, 7436, 7436, 7437, 7437)
AZURE_GENERATED = (6, 6, 6, 7, 8, 9, 11, 13, 16, 20, 29, 55, 90, 171, 251, 359, 670, 825, 1899)


def azure_sizes(jobs: int, seed: int) -> tuple[Times, Times]:
    """Context and generated tokens of that many requests, distributed as in the published trace."""

    def draw(name: str, quantiles: tuple[int, ...]) -> Times:
        # Between two quantiles the logarithm is taken as evenly spread: tails are heavy, and a straight line between
        # the last two would put too many jobs near the largest.
        logarithms = np.log(np.array(quantiles, dtype=np.float64))
        drawn = np.interp(stream(seed, name).random(jobs), AZURE_PROBABILITIES, logarithms)
        return np.asarray(np.round(np.exp(drawn)), dtype=np.float64)

    return draw("context", AZURE_CONTEXT), draw("generated", AZURE_GENERATED)


def twin_arrivals(jobs: int, seed: int) -> Times:
    """Arrivals as bursty as the published trace, at its rate in the long run."""
    return bursty_arrivals(AZURE_RATE, jobs, AZURE_BURSTS, stream(seed, "arrivals"))


# What may be generated, in words; figures of the published trace where bursts are meant.
HALF_AS_BURSTY = Bursts(AZURE_BURSTS.at_one_second / 2, AZURE_BURSTS.at_one_minute / 4)
ON_SECONDS, OFF_SECONDS = 60.0, 240.0
DAY_DEPTH = 0.8
LOADS = {
    "poisson": "Poisson arrivals (no bursts)",
    "even": "one job after the other in even gaps",
    "bursty": f"arrivals in bursts (index of dispersion {HALF_AS_BURSTY.at_one_second:g} at 1 s, "
    f"{HALF_AS_BURSTY.at_one_minute:g} at 1 min)",
    "twin": f"as bursty as the Azure code trace of 2023 (index of dispersion {AZURE_BURSTS.at_one_second:g} at 1 s, "
    f"{AZURE_BURSTS.at_one_minute:g} at 1 min; its {AZURE_RATE:g} jobs/s played",
    "on-off": f"Poisson arrivals for {ON_SECONDS:g} s, none for {OFF_SECONDS:g} s, on average",
    "daily": f"Poisson arrivals that follow the time of day, from {1 - DAY_DEPTH:.1g} to {1 + DAY_DEPTH:g} times their "
    "mean",
}


def generate(
    kind: str,
    jobs: int,
    seed: int,
    *,
    rate: float | None = None,
    erlangs: float = 1.0,
    model: TokenModel | None = None,
    service: ServiceTimes | None = None,
) -> Load:
    """A generated load: a kind of arrivals out of `LOADS`, with the job sizes of the published trace or with `service`.

    It arrives at `rate` jobs a second; without one, so that it offers that many erlangs. "twin" has the burstiness of
    the trace and the pattern is sped up or slowed down as a whole to meet the rate exactly; "bursty" is half as bursty
    at one second and a quarter at one minute; "daily" meets it over whole days. Raises ValueError for an unknown kind.
    """
    if kind not in LOADS:
        raise ValueError(f"unknown load {kind!r}; known: {', '.join(LOADS)}")
    model = model or TokenModel()
    works = service.draw(jobs, stream(seed, "service")) if service else model.seconds(*azure_sizes(jobs, seed))
    rate = rate if rate is not None else erlangs / (service.mean if service else float(works.mean()))
    generator = stream(seed, "arrivals")
    words = f"generated, {LOADS[kind]}"
    if kind == "poisson":
        arrived = poisson_arrivals(rate, jobs, generator)
    elif kind == "even":
        arrived = even_arrivals(rate, jobs)
    elif kind == "bursty":
        arrived = bursty_arrivals(rate, jobs, HALF_AS_BURSTY, generator)
    elif kind == "twin":
        arrived = twin_arrivals(jobs, seed)
        words += f" {rate / AZURE_RATE:.2f} times as fast)"
    elif kind == "on-off":
        arrived = on_off_arrivals(rate, jobs, ON_SECONDS, OFF_SECONDS, generator)
    else:
        arrived = cyclic_arrivals(rate, jobs, DAY_DEPTH, generator)
    if kind != "daily":
        # So few jobs in such bursts miss the rate by a tenth or more, and with it the utilisation that was asked for.
        arrived = arrived * (jobs / rate / arrived[-1])
    if service:
        return Load(kind, f"{words}; service times: {service.words()}", arrived, works)
    sizes = "as in that trace" if kind == "twin" else "as in the Azure code trace of 2023"
    return Load(kind, f"{words}, job sizes {sizes}", arrived, works, assumed=(model.words(),))
