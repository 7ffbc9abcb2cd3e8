"""Reads the reviews page and keeps each product's average."""

from __future__ import annotations

from collections import defaultdict
from html.parser import HTMLParser

from shop import store


class Reviews(HTMLParser):
    """Collects the stars of `<li data-product="1" data-stars="5">`."""

    def __init__(self) -> None:
        super().__init__()
        self.stars: dict[int, list[int]] = defaultdict(list)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        product, stars = found.get("data-product"), found.get("data-stars")
        if tag == "li" and product and stars:
            self.stars[int(product)].append(int(stars))


def main() -> None:
    store.prepare()
    page = Reviews()
    page.feed((store.ROOT / "feeds" / "reviews.html").read_text(encoding="utf-8"))
    averages = ((round(sum(stars) / len(stars), 2), product) for product, stars in page.stars.items())
    count = store.record("reviews", "UPDATE products SET stars = ? WHERE id = ?", averages)
    print(f"reviews of {count} products read")


if __name__ == "__main__":
    main()
