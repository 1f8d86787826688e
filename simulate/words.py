"""Numbers as a person writes them, in tables and in figures alike."""

from math import floor, log10


def rung(place: int | None) -> str:
    """Where a design stands on the ladder."""
    return "own design" if place is None else f"rung {place}"


def plain(text: str) -> str:
    """A name from outside as a figure shows it: no formula, whatever signs are in it."""
    return text.replace("$", r"\$")


def count(number: float) -> str:
    """A number as a person writes it: 0.1, 5.6, 1,095."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def told(**numbers: float | None) -> str:
    """What somebody asked for, as an error begins: workers 0, mean 0.5."""
    return ", ".join(f"{name.replace('_', ' ')} {number:g}" for name, number in numbers.items() if number is not None)


UNITS = ((0.9995, 1e-3, "ms"), (120, 1, "s"), (3600, 60, "min"), (float("inf"), 3600, "h"))


def duration(seconds: float | None, half: float | None = None) -> str:
    """Seconds as a person writes them: 0.2 ms, 350 ms, 12.3 s, 34 min, 2.1 h; a dash for None.

    With half an interval: 12.3 ± 0.4 s.
    """
    if seconds is None:
        return "-"
    if seconds == 0 and not half:
        return "0 s"
    for below, unit, name in UNITS:
        if max(abs(seconds), half or 0.0) < below:
            return f"{with_half(seconds / unit, None if half is None else half / unit, '.3g')} {name}"
    raise ValueError(f"{seconds} is no length of time")


def with_half(value: float, half: float | None, digits: str) -> str:
    """A number, and if there is one half of its interval; one that only rounding made is none."""
    if half is None:
        return f"{value:{digits}}"
    if half <= 1e-6 * abs(value):
        return f"{value:{digits}} ± 0"
    if digits.endswith("g"):
        # As many places as half the interval has, and those that end in zero, too.
        places = _places(half, 2)
        places = min(places, _places(value, int(digits[-2]))) if value else places
        digits = f"{digits[:-3]}.{places}f"
    return f"{value:{digits}} ± {half:.{_places(half, 2)}f}"


def _places(number: float, digits: int) -> int:
    """After how many places a number has so many digits that count."""
    return max(0, digits - 1 - floor(log10(abs(number))))
