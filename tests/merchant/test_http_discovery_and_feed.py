"""What is public: the discovery document and the product feed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.merchant.domain_world import SHOP
from tests.merchant.shop_server import (
    AGENT,
    BUYER,
    MERCHANT_TOKEN,
    OTHER_AGENT,
    PRODUCTS,
    VERSION,
    Json,
    ShopServer,
    assert_valid,
    shop_server,
)

from acpref_merchant.http.feed_routes import PAGE_ITEMS

DISCOVERY = "/.well-known/acp.json"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopServer]:
    with shop_server(
        tmp_path_factory.mktemp("shop"),
        adapt_shop=lambda shop: shop.model_copy(update={"interventions_supported": ("3ds",)}),
        api_base_url="https://shop.example/acp/",
    ) as server:
        yield server


def discovered(shop: ShopServer, **headers: str) -> Json:
    answer = shop.http.get(DISCOVERY, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    document: Json = answer.json()
    assert_valid(document, "DiscoveryResponse")
    return document


def feed(shop: ShopServer) -> list[Json]:
    """The products of the feed, each a valid one."""
    answer = shop.http.get("/feeds/products.jsonl")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jsonl")
    assert answer.text.endswith("\n")
    found: list[Json] = [json.loads(line) for line in answer.text.splitlines()]
    for product in found:
        assert_valid(product, "Product", "feed")
    return found


def variants(shop: ShopServer) -> dict[str, Json]:
    return {variant["id"]: variant for product in feed(shop) for variant in product["variants"]}


# --- discovery --------------------------------------------------------------------------------------------------------


def test_discovery_says_what_is_served_here(shop: ShopServer) -> None:
    """DIS-01, DIS-02, DIS-03, DIS-04, DIS-05, DIS-07: without authentication, version or key."""
    assert discovered(shop) == {
        "protocol": {"name": "acp", "version": VERSION, "supported_versions": [VERSION]},
        "api_base_url": "https://shop.example/acp",
        "transports": ["rest"],
        "capabilities": {
            "services": ["checkout", "orders"],
            "extensions": [{"name": "discount"}],
            "intervention_types": ["3ds"],
            "supported_currencies": ["usd"],
            "supported_locales": ["en-US"],
        },
    }


def test_discovery_may_be_kept_for_an_hour(shop: ShopServer) -> None:
    """DIS-08: and it is the same for everybody."""
    answer = shop.http.get(DISCOVERY)
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert "set-cookie" not in answer.headers
    other = shop.http.get(
        DISCOVERY, headers={"Authorization": f"Bearer {AGENT}", "API-Version": "1999-01-01"}
    )
    assert other.content == answer.content
    assert shop.http.get(DISCOVERY, params={"merchant_id": "somebody"}).content == answer.content


def test_discovery_says_nothing_about_who_runs_it(shop: ShopServer) -> None:
    """DIS-09."""
    text = json.dumps(discovered(shop))
    for secret in (
        SHOP["merchant_id"],
        SHOP["name"],
        "card",
        "psp",
        "acpref",
        AGENT,
        OTHER_AGENT,
        MERCHANT_TOKEN,
    ):
        assert secret not in text


def test_a_path_after_the_base_url_is_the_endpoint(shop: ShopServer) -> None:
    """DIS-06: joined without doubling the slash, each path of the protocol answers under it."""
    base = discovered(shop)["api_base_url"]
    served = shop.http.get("/openapi.json").json()["paths"]
    assert not base.endswith("/")
    for path in ("/checkout_sessions", "/checkout_sessions/{session_id}", "/orders/{order_id}"):
        assert path in served


def test_what_discovery_lists_is_so(shop: ShopServer) -> None:
    """DIS-05, DIS-12, DIS-13, DIS-14."""
    document = discovered(shop)
    capabilities = document["capabilities"]
    session = shop.agent.expect(
        201,
        shop.agent.post(
            "/checkout_sessions",
            {
                "line_items": [{"id": "mug"}],
                "currency": capabilities["supported_currencies"][0],
                "capabilities": {
                    "interventions": {"supported": capabilities["intervention_types"]},
                    "extensions": [one["name"] for one in capabilities["extensions"]],
                },
            },
            API_Version=document["protocol"]["version"],
        ),
    )
    assert session["capabilities"]["interventions"]["supported"] == capabilities["intervention_types"]
    assert [one["name"] for one in session["capabilities"]["extensions"]] == ["discount"]


# --- feed -------------------------------------------------------------------------------------------------------------


def test_the_feed_describes_itself(shop: ShopServer) -> None:
    """FEED-11: one feed, for the shop's own country, under an id that stays."""
    answer = shop.http.get("/feeds/metadata.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert_valid(answer.json(), "FeedMetadata", "feed")
    assert answer.json()["target_country"] == "US"
    assert shop.http.get("/feeds/metadata.json").json()["id"] == answer.json()["id"]


def test_the_feed_has_every_product_in_the_order_of_the_catalog(shop: ShopServer) -> None:
    """FEED-07, FEED-10, FEED-11."""
    found = feed(shop)
    assert [product["id"] for product in found] == [product["id"] for product in PRODUCTS]
    for product, source in zip(found, PRODUCTS, strict=True):
        assert [(one["id"], one["title"]) for one in product["variants"]] == [
            (one["id"], one["title"]) for one in source["variants"]
        ]
    assert feed(shop) == found


def test_prices_are_minor_units_with_an_upper_case_currency(shop: ShopServer) -> None:
    """FEED-08."""
    expected = {one["id"]: one["price"] for product in PRODUCTS for one in product["variants"]}
    assert {name: variant["price"] for name, variant in variants(shop).items()} == {
        name: {"amount": amount, "currency": "USD"} for name, amount in expected.items()
    }


def test_texts_and_media_are_as_the_schema_has_them(shop: ShopServer) -> None:
    """FEED-09."""
    mug = feed(shop)[0]
    assert mug["media"] == [{"type": "image", "url": "https://shop.example/mug.jpg", "alt_text": "Mug"}]
    (variant,) = mug["variants"]
    assert variant["categories"] == [{"value": "mugs"}]
    assert [link["type"] for link in variant["seller"]["links"]] == ["terms_of_use", "privacy_policy"]


def test_every_variant_can_be_put_into_a_session(shop: ShopServer) -> None:
    """FEED-12: at the price of the feed, unless something changed in between."""
    for name, variant in variants(shop).items():
        (line,) = shop.agent.create({name: 1})["line_items"]
        assert line["item"]["id"] == name
        assert line["unit_amount"] == variant["price"]["amount"]
        in_stock = line["availability_status"] != "out_of_stock"
        assert variant["availability"] == {
            "available": in_stock,
            "status": "in_stock" if in_stock else "out_of_stock",
        }


def test_the_feed_shows_price_and_stock_of_this_moment(shop: ShopServer) -> None:
    """FEED-10, FEED-13: what is sold out stays in it, marked as such."""
    before = shop.agent.create({"scarce": 2}, buyer=BUYER)
    shop.set_price("scarce", 950)
    shop.set_stock("scarce", 0)
    try:
        scarce = variants(shop)["scarce"]
        assert (scarce["price"]["amount"], scarce["availability"]["status"]) == (950, "out_of_stock")
        # Checkout outranks the feed, and says that the total is no longer what was shown.
        warnings = [one for one in shop.agent.read(before)["messages"] if one["type"] == "warning"]
        assert [one["code"] for one in warnings] == ["price_change"]
    finally:
        shop.set_price("scarce", 900)
        shop.set_stock("scarce", 2)


def test_nothing_of_buyers_or_sessions_is_in_the_feed(shop: ShopServer) -> None:
    """FEED-18."""
    done = shop.agent.buy({"song": 1})
    text = shop.http.get("/feeds/products.jsonl").text
    for private in (BUYER["email"], done["id"], done["order"]["id"], AGENT):
        assert private not in text


def test_a_large_feed_comes_in_pages_that_cut_no_product(
    tmp_path_factory: pytest.TempPathFactory, store_url: str
) -> None:
    """FEED-07, FEED-11: on either database, whatever lies at the end of a page."""
    # Of 7 variants each, so that pages end within products; one product is larger than a page.
    sizes = [7] * (PAGE_ITEMS // 7) + [PAGE_ITEMS + 20] + [1] * 40
    products = [
        {
            "id": f"p{number}",
            "title": f"Product {number}",
            "variants": [
                {"id": f"p{number}-{n}", "title": f"Variant {n}", "price": 100 + n, "stock": n}
                for n in range(size)
            ],
        }
        for number, size in enumerate(sizes)
    ]
    with shop_server(tmp_path_factory.mktemp("large"), store_url, products=products) as large:
        found = feed(large)
        assert [product["id"] for product in found] == [product["id"] for product in products]
        assert [len(product["variants"]) for product in found] == sizes
        assert found[-41]["variants"][-1]["id"] == f"p{len(sizes) - 41}-{PAGE_ITEMS + 19}"


def test_a_shop_without_goods_has_an_empty_feed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """FEED-11."""
    with shop_server(tmp_path_factory.mktemp("empty"), products=()) as empty:
        answer = empty.http.get("/feeds/products.jsonl")
        assert (answer.status_code, answer.content) == (200, b"")
