"""A load: when each job arrives and how long it takes. Generated here from seeded streams, or read by `traces.py`.

A load is made once and replayed against every design, so that differences between designs are differences between
designs. Each purpose has a random stream of its own, keyed by its name: drawing more arrivals never changes a service
time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]


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


def index_of_dispersion(arrived: Times, window: float) -> float | None:
    """Variance over mean of the number of arrivals per window of so many seconds: 1 for Poisson, more for bursts.

    None when there are fewer than ten whole windows. Source: Cox and Lewis, The Statistical Analysis of Series of
    Events (1966).
    """
    windows = int((arrived[-1] - arrived[0]) / window)
    if windows < 10:
        return None
    edges = arrived[0] + window * np.arange(windows + 1)
    counts = np.diff(np.searchsorted(arrived, edges))
    return float(counts.var() / counts.mean())


def poisson_arrivals(rate: float, jobs: int, generator: np.random.Generator) -> Times:
    """Arrivals without memory: exponential gaps of mean 1 / rate seconds."""
    return np.cumsum(generator.exponential(1 / rate, jobs))


@dataclass(frozen=True)
class Bursts:
    """How bursty arrivals are: the index of dispersion of their counts in windows of one second and of one minute."""

    at_one_second: float
    at_one_minute: float

    def fit(self, rate: float) -> tuple[float, float]:
        """The arrival rate's own squared variation, and the mean seconds for which it holds, that give these indices.

        For a Poisson process whose rate is redrawn (variance v, mean m) after exponential times of mean h, the index
        at a window w is 1 + 2 v / m · f(w), f(w) = h - h² / w · (1 - exp(-w / h)); the ratio of two such indices
        gives h, one of them then v. Raises ValueError when no such process exists.
        """

        def f(window: float, hold: float) -> float:
            return hold + hold**2 / window * float(np.expm1(-window / hold))

        if not 1 < self.at_one_second < self.at_one_minute:
            raise ValueError(f"bursts must be above 1 and grow with the window, not {self}")
        ratio = (self.at_one_minute - 1) / (self.at_one_second - 1)
        low, high = 1e-3, 1e6
        if not f(60, low) / f(1, low) < ratio < f(60, high) / f(1, high):
            raise ValueError(f"{self}: no process of this kind grows by a factor of {ratio:.1f} from 1 s to 1 min")
        for _ in range(200):  # the ratio grows with the holding time: halve the interval until it is none
            middle = (low * high) ** 0.5
            low, high = (middle, high) if f(60, middle) / f(1, middle) < ratio else (low, middle)
        variance = (self.at_one_second - 1) * rate / (2 * f(1, low))
        return variance / rate**2, low


def bursty_arrivals(rate: float, jobs: int, bursts: Bursts, generator: np.random.Generator) -> Times:
    """Arrivals in bursts: Poisson at a rate that is itself redrawn, gamma distributed, after exponential times.

    Holds `bursts` in the long run. A short stretch strays from the mean rate, by much: that is what bursts are.
    """
    squared_variation, hold = bursts.fit(rate)
    pieces: list[Times] = []
    begin, drawn = 0.0, 0
    while drawn < jobs:
        # A block of pieces at a time; how many is of no consequence for the result but for its speed.
        lengths = generator.exponential(hold, 1024)
        rates = generator.gamma(1 / squared_variation, rate * squared_variation, 1024)
        counts = generator.poisson(rates * lengths)
        starts = begin + np.concatenate(([0.0], np.cumsum(lengths[:-1])))
        where = np.repeat(starts, counts) + np.repeat(lengths, counts) * generator.random(int(counts.sum()))
        pieces.append(np.sort(where))
        begin = float(starts[-1] + lengths[-1])
        drawn += int(counts.sum())
    return np.concatenate(pieces)[:jobs]


def service_times(
    kind: str, mean: float, jobs: int, generator: np.random.Generator, *, variation: float = 4.0
) -> Times:
    """Seconds of work per job: "fixed", "exponential", or "lognormal" with that squared variation (variance / mean²).

    Raises ValueError for any other kind.
    """
    if kind == "fixed":
        return np.full(jobs, mean)
    if kind == "exponential":
        return generator.exponential(mean, jobs)
    if kind == "lognormal":
        sigma_squared = np.log1p(variation)
        return generator.lognormal(np.log(mean) - sigma_squared / 2, np.sqrt(sigma_squared), jobs)
    raise ValueError(f"unknown kind of service time {kind!r}; known: fixed, exponential, lognormal")


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


def generate(
    kind: str, jobs: int, seed: int, *, rate: float | None = None, erlangs: float = 1.0, model: TokenModel | None = None
) -> Load:
    """A generated load: kind "poisson", "bursty" or "twin", all with the job sizes of the published trace.

    It arrives at `rate` jobs a second; without one, so that it offers that many erlangs. "twin" has the burstiness of
    the trace and the pattern is sped up or slowed down as a whole to meet the rate exactly; "bursty" is half as bursty
    at one second and a quarter at one minute; "poisson" has none. Raises ValueError for an unknown kind.
    """
    model = model or TokenModel()
    service = model.seconds(*azure_sizes(jobs, seed))
    rate = rate if rate is not None else erlangs / float(service.mean())
    generator = stream(seed, "arrivals")
    if kind == "poisson":
        arrived = poisson_arrivals(rate, jobs, generator)
        words = "generated, Poisson arrivals (no bursts)"
    elif kind == "bursty":
        bursts = Bursts(AZURE_BURSTS.at_one_second / 2, AZURE_BURSTS.at_one_minute / 4)
        arrived = bursty_arrivals(rate, jobs, bursts, generator)
        words = (
            f"generated, arrivals in bursts (index of dispersion {bursts.at_one_second:g} at 1 s, "
            f"{bursts.at_one_minute:g} at 1 min)"
        )
    elif kind == "twin":
        arrived = twin_arrivals(jobs, seed)
        words = (
            f"generated, as bursty as the Azure code trace of 2023 (index of dispersion "
            f"{AZURE_BURSTS.at_one_second:g} at 1 s, {AZURE_BURSTS.at_one_minute:g} at 1 min; its "
            f"{AZURE_RATE:g} jobs/s played {rate / AZURE_RATE:.2f} times as fast)"
        )
    else:
        raise ValueError(f"unknown load {kind!r}; known: poisson, bursty, twin")
    # So few jobs in such bursts miss the rate by a tenth or more, and with it the utilisation that was asked for.
    arrived = arrived * (jobs / rate / arrived[-1])
    return Load(
        kind,
        f"{words}, job sizes as in that trace"
        if kind == "twin"
        else f"{words}, job sizes as in the Azure code trace of 2023",
        arrived,
        service,
        assumed=(model.words(),),
    )
