"""Random expressions that know what they mean."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.unit.timing.brute_force import Plain


@st.composite
def field(draw: st.DrawFn, low: int, high: int, crowd: int = 1, drawn_to: int | None = None) -> tuple[str, set[int]]:
    """A field's text and its values. `crowd` repeats the star; numbers are drawn up to `drawn_to`."""
    kind = draw(st.sampled_from(["*"] * crowd + ["*/n", "a", "a-b", "a-b/n", "a/n", "list"]))
    numbers = st.integers(low, high if drawn_to is None else drawn_to)
    a, b = sorted((draw(numbers), draw(numbers)))
    n = draw(st.integers(1, min(high - low, 20)))
    match kind:
        case "*":
            return "*", set(range(low, high + 1))
        case "*/n":
            return f"*/{n}", set(range(low, high + 1, n))
        case "a":
            return str(a), {a}
        case "a-b":
            return f"{a}-{b}", set(range(a, b + 1))
        case "a-b/n":
            return f"{a}-{b}/{n}", set(range(a, b + 1, n))
        case "a/n":
            return f"{a:02}/{n}", set(range(a, high + 1, n))
        case _:
            more = draw(st.lists(numbers, min_size=1, max_size=4))
            return ",".join(map(str, [a, *more])), {a, *more}


@st.composite
def plains(draw: st.DrawFn, seconds: bool = False, dense: bool = False) -> Plain:
    """Expressions of five fields, or six. Dense ones match on most days and early hours, so that a scan of three days
    around a clock change has something to find."""
    crowd = 12 if dense else 2
    drawn = [
        draw(field(0, 59)) if seconds else ("", {0}),
        draw(field(0, 59)),
        draw(field(0, 23, drawn_to=3 if dense and draw(st.integers(0, 3)) else None)),
        draw(field(1, 31, crowd)),
        draw(field(1, 12, crowd)),
        draw(field(0, 7, crowd)),
    ]
    sets = [frozenset(values) for _, values in drawn]
    sets[-1] = frozenset(value % 7 for value in sets[-1])  # 7 is Sunday, as 0 is
    return Plain(" ".join(text for text, _ in drawn).strip(), *sets)
