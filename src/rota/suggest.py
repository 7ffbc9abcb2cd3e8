"""PURE. What someone who mistyped a name probably meant. For every room: names of apps, keys of files, verbs, options."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def suggest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate nearest to `name`, or None when none is near enough to be meant.

    Near: equal but for case, containing it (from three letters at the start, four anywhere), or one typing slip per
    three letters away, with something in common.
    """
    best, nearest = None, len(name) // 3 + (len(name) < 3) + 1
    typed = name.casefold()
    for candidate in dict.fromkeys(candidates):
        known = candidate.casefold()
        if known == typed:
            return candidate
        away = slips(typed, known, nearest)
        if (len(typed) >= 3 and known.startswith(typed)) or (len(typed) >= 4 and typed in known):
            away = 1
        if away < min(nearest, max(len(typed), len(known))):
            best, nearest = candidate, away
    return best


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """` — did you mean "api"?`, or nothing: the end of a sentence."""
    question = suggestion(name, candidates)
    return f" — {question}" if question else ""


def suggestion(name: str, candidates: Iterable[str]) -> str:
    """`did you mean "api"?`, or nothing: a hint by itself."""
    meant = suggest(name, candidates)
    return f'did you mean "{meant}"?' if meant else ""


def slips(one: str, other: str, enough: int) -> int:
    """Insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment).

    The true distance where it is below `enough`, else `enough`.
    """
    if abs(len(one) - len(other)) >= enough:
        return enough
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        above, row, earlier = row, [i], before
        for j, right in enumerate(other, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (left != right))
            if i > 1 and j > 1 and left == other[j - 2] and one[i - 2] == right:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        before = above
        if min(row) >= enough and min(above) >= enough:
            return enough
    return min(row[-1], enough)
