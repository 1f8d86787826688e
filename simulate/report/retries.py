"""What `retries` says."""

from rich.markup import escape

from simulate.intervals import COLUMNS, Estimate, Interval, in_columns
from simulate.report.out import Out, plus_minus, share, table, why_none
from simulate.scenarios.retries import Retries, RetryOutcome
from simulate.words import count, duration, with_half

HEADER = ["policy", "measure", *COLUMNS, "in_theory"]


def rows(found: Retries) -> list[list[str]]:
    """One row for each number, for CSV; see `HEADER`. Calls second by second are in the JSON."""
    made = []
    for one in found.outcomes:
        for measure, what in (
            ("calls_per_job", one.calls_per_job),
            ("peak_calls_per_second", one.peak),
            ("recovered_after_seconds", one.recovered),
            ("recovered_all_after_seconds", one.recovered_all),
            ("refused_after_the_outage", one.refused_after),
            ("given_up_share", one.given_up),
            ("bystanders_waiting_mean_seconds", one.bystanders),
            ("failing_share", one.failing),
            ("slow_share", one.slow),
        ):
            theory = one.in_theory if what is one.calls_per_job else None
            made.append([one.policy.name, measure, *in_columns(what), "" if theory is None else f"{theory:.9g}"])
        if one.held_down is not None:
            made.append([one.policy.name, "held_down_share", f"{one.held_down:.9g}", "", "", "", ""])
    return made


def retries(console: Out, found: Retries) -> None:
    """What the outage did under each policy, for `retries`."""
    setting, outage = found.setting, found.setting.outage
    has_end = outage.mended_after is not None
    # A column of nothing would be one too many.
    gives_up = any(_share(one.given_up) != share(0.0) for one in found.outcomes)
    columns = ["calls a job", "peak after", "95 % over after", *(["given up"] if gives_up else []), "others waited"]
    is_slow = outage.slower is not None
    columns += ["failing", *(["slow"] if is_slow else []), *(["held down"] if has_end else [])]
    what = "Slow answers for" if is_slow else "An outage of"
    whole = table(f"{what} {duration(outage.seconds)}, seed {found.seed}", "policy", *columns)
    for one in found.outcomes:
        whole.add_row(
            escape(one.policy.name),
            plus_minus(one.calls_per_job, _plain),
            plus_minus(one.peak, _per_second),
            plus_minus(one.recovered, duration),
            *([_share(one.given_up)] if gives_up else []),
            plus_minus(one.bystanders, duration),
            _share(one.failing),
            *([_share(one.slow)] if is_slow else []),
            *([share(one.held_down)] if has_end else []),
        )
    console.print()
    console.print(whole)
    for one in found.outcomes:
        console.print(f"[bold]{escape(one.policy.name)}[/]: {escape(one.policy.words)}.{_theory(one)}")
    why_none(console, ((f"{one.policy.name}: calls a job", one.calls_per_job) for one in found.outcomes))
    limit = "answers any number of calls"
    if outage.calls_per_second is not None:
        limit = f"answers {outage.calls_per_second:g} calls a second at most and refuses the rest"
        if outage.collapse:
            limit = (
                f"answers {outage.calls_per_second:g} calls a second, and for each call more {outage.collapse:g} fewer"
            )
    fails = f"A call that fails takes {duration(outage.fails_after)}."
    if outage.slower is None:
        console.print(
            f"[bold]What is needed[/] is down from {duration(outage.begins)} on; otherwise it {limit}. {fails}"
        )
    else:
        patience = "for ever" if outage.times_out is None else f"{duration(outage.times_out)} at most, then it fails"
        if outage.calls_per_second is not None:
            patience += f". One that is refused takes {duration(outage.fails_after)}"
        console.print(
            f"[bold]What is needed[/] takes {outage.slower:g} times as long from {duration(outage.begins)} on, and "
            f"{limit}. A job waits {patience}. [bold]Slow[/]: workers' time that went into waiting for answers that "
            "came, beyond what they usually take."
        )
    if outage.mended_after is not None:
        console.print(
            f"[bold]Held down[/]: the share of runs in which most calls failed until a person stepped in, "
            f"{duration(outage.mended_after)} after the outage, though what had taken it down was over."
        )
    console.print(
        "Peak after: the most calls in any second after the outage; 95 % over after: the time from its end until so "
        "many of the jobs that met it were done or given up."
    )
    console.print(
        f"{setting.workers} workers; {setting.burst:,} jobs come as it begins, and {setting.rate:g} a second beside "
        "them, half of which need nothing of it: those are the others. Failing: workers' time that went into calls "
        f"that failed. {found.replications} runs of each policy."
    )
    console.print(f"[bold]Costs[/]: {setting.costs.words()}.")


def _theory(one: RetryOutcome) -> str:
    return "" if one.in_theory is None else f" In theory {count(one.in_theory)} calls a job."


def _share(what: Estimate) -> str:
    return share(what.value) if isinstance(what, Interval) else "-"


def _plain(value: float | None, half: float | None = None) -> str:
    return "-" if value is None else with_half(value, half, ".3g")


def _per_second(value: float | None, half: float | None = None) -> str:
    return "-" if value is None else f"{with_half(value, half, '.3g')}/s"
