"""Sentences, as a person would say them."""

from __future__ import annotations

import pytest

from rota.timing.cron import Cron


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("* * * * *", "Every minute."),
        ("*/15 * * * *", "Every 15 minutes."),
        ("0,30 * * * *", "Every 30 minutes."),
        ("*/7 * * * *", "Every 7 minutes, anew each hour."),
        ("10/15 * * * *", "Every 15 minutes, from minute 10."),
        ("1,2,7 * * * *", "At minutes 1, 2 and 7 of every hour."),
        ("0 * * * *", "Every hour, on the hour."),
        ("5 * * * *", "Every hour, 5 minutes past the hour."),
        ("0 */2 * * *", "Every 2 hours, on the hour (Europe/Paris time)."),
        ("0 9-17 * * *", "Every hour from 09:00 to 17:00 (Europe/Paris time)."),
        ("15 */5 * * *", "At 00:15, 05:15, 10:15, 15:15 and 20:15 every day (Europe/Paris time)."),
        ("30 2 * * *", "At 02:30 every day (Europe/Paris time)."),
        ("* 2 * * *", "Every minute from 02:00 to 02:59 (Europe/Paris time)."),
        ("*/5 9-17 * * MON-FRI", "Every 5 minutes from 09:00 to 17:59 from Monday to Friday (Europe/Paris time)."),
        ("0 9 * * 1-5", "At 09:00 from Monday to Friday (Europe/Paris time)."),
        ("0 0 * * 0,6", "At 00:00 every Saturday and Sunday (Europe/Paris time)."),
        ("0 0 1 * *", "At 00:00 on the 1st of every month (Europe/Paris time)."),
        ("0 0 1,2,3,22 * *", "At 00:00 on the 1st to the 3rd and the 22nd of every month (Europe/Paris time)."),
        ("0 0 L * *", "At 00:00 on the last day of every month (Europe/Paris time)."),
        ("0 0 LW * *", "At 00:00 on the last working day of every month (Europe/Paris time)."),
        ("0 0 15W * *", "At 00:00 on the working day nearest the 15th of every month (Europe/Paris time)."),
        ("0 0 29 2 *", "At 00:00 on the 29th of February (Europe/Paris time)."),
        ("0 0 * * MON#1", "At 00:00 on the first Monday of every month (Europe/Paris time)."),
        ("0 0 * 6 FRIL", "At 00:00 on the last Friday of June (Europe/Paris time)."),
        ("0 0 * * 1#1,FRI", "At 00:00 every Friday and the first Monday of every month (Europe/Paris time)."),
        ("0 0 13 * 5", "At 00:00 on the 13th of every month, and also every Friday (Europe/Paris time)."),
        ("0 0 */13 * 5", "At 00:00 on the 1st, the 14th and the 27th of every month if that is a Friday (Europe/Paris time)."),
        ("0 0 * 3 TUE,THU", "At 00:00 every Tuesday and Thursday in March (Europe/Paris time)."),
        ("30 2 * 1,7 *", "At 02:30 every day in January and July (Europe/Paris time)."),
        ("0 0 1-31 * 5", "At 00:00 every day (Europe/Paris time)."),
        ("* * * * * *", "Every second."),
        ("*/10 * * * * *", "Every 10 seconds."),
        ("*/10 */5 * * * *", "Every 10 seconds in every 5th minute."),
        ("* 0 0 * * *", "Every second within the minute 00:00 (Europe/Paris time)."),
        ("5 30 2 * * *", "At 02:30:05 every day (Europe/Paris time)."),
        ("10 */15 * * * *", "Every 15 minutes, 10 seconds past the minute."),
        ("5 0 * * * *", "Every hour, 0 minutes and 5 seconds past the hour."),
        ("@weekly", "At 00:00 every Sunday (Europe/Paris time)."),
    ],
)  # fmt: skip
def test_explain(text: str, sentence: str) -> None:
    assert Cron(text, "Europe/Paris").explain() == sentence


def test_the_way_it_is_written_does_not_matter() -> None:
    assert Cron("0 9 * * 1,2,3,4,5").explain() == Cron("00 09 ? JAN-DEC mon-fri").explain()


def test_utc_is_said_as_such() -> None:
    assert Cron("@daily").explain() == "At 00:00 every day (UTC)."
