"""Random native products for property tests."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st

from acpref_merchant.domain.item import Barcode, FulfillmentType, Option, Product, Variant

# Words without leading, trailing and doubled blanks: what catalogs call a title.
LETTERS = st.characters(categories=["L", "N", "P", "S"])
WORDS = st.lists(st.text(LETTERS, min_size=1, max_size=8), min_size=1, max_size=4)
TITLES = WORDS.map(" ".join)
ADDRESSES = st.integers(0, 9999).map(lambda number: f"https://p.example.com/{number}?a=%20&b=(1)")
AMOUNTS = st.integers(0, 10**9)


@st.composite
def products(draw: st.DrawFn) -> Product:
    """A product with one to three variants. Ids are unique within it."""
    key = draw(st.integers(1, 10**9))
    return Product(
        id=f"p-{key}",
        title=draw(TITLES),
        description=draw(st.lists(TITLES, max_size=3).map("\n\n".join)),
        brand=draw(st.just("") | TITLES),
        category=draw(st.just("") | TITLES),
        tags=tuple(draw(st.lists(TITLES, max_size=2))),
        url=draw(st.none() | ADDRESSES),
        images=tuple(draw(st.lists(ADDRESSES, max_size=2, unique=True))),
        condition=draw(st.sampled_from(["new", "refurbished", "used"])),
        tax_class=draw(st.sampled_from(["standard", "food"])),
        fulfillment=(draw(st.sampled_from(get_args(FulfillmentType))),),
        disclosures=tuple(draw(st.lists(st.just("Contains **nuts**."), max_size=1))),
        variants=tuple(draw(_variant(f"v-{key}-{index}")) for index in range(draw(st.integers(1, 3)))),
    )


@st.composite
def _variant(draw: st.DrawFn, variant_id: str) -> Variant:
    price = draw(AMOUNTS)
    return Variant(
        id=variant_id,
        title=draw(TITLES),
        price=price,
        list_price=draw(st.none() | st.integers(price, 2 * price)),
        stock=draw(st.none() | st.integers(0, 10**6)),
        weight_grams=draw(st.integers(0, 10**5)),
        options=tuple(draw(st.lists(st.builds(Option, name=TITLES, value=TITLES), max_size=2))),
        barcodes=tuple(draw(st.lists(st.just(Barcode(type="GTIN", value="00012345600012")), max_size=1))),
        images=tuple(draw(st.lists(ADDRESSES, max_size=1))),
        max_quantity_per_order=draw(st.none() | st.integers(1, 100)),
    )
