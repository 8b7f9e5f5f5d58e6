"""The words from which ``generate`` makes products. ASCII without quotes or backslashes: they are pasted
into JSON.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Department:
    """A kind of goods: what they are called, and the ranges of their price (minor units) and weight
    (grams).
    """

    category: str
    tax_class: str
    nouns: tuple[str, ...]
    materials: tuple[str, ...]
    low: int
    high: int
    weight: int
    axis: str
    values: tuple[str, ...]
    fulfillment: str = "shipping"


ADJECTIVES = (
    "Everyday", "Compact", "Classic", "Sturdy", "Quiet", "Bright", "Folding", "Slim", "Heavy-duty", "Travel",
    "Weekend", "Studio", "Garden", "Harbor", "Mountain", "City", "Nordic", "Coastal", "Heritage", "Modern",
)  # fmt: skip
BRANDS = (
    "Alderway", "Bramble & Pine", "Corvane", "Dovetail", "Eastlight", "Fernhollow", "Gristmill", "Hollowell",
    "Ironbark", "Junebug", "Kestrel Lane", "Lowmoor", "Maplecross", "Northbeam", "Oxbow", "Pebblebrook", "Quillon",
    "Rowanfield", "Saltmarsh", "Thistledown", "Umberline", "Vantry", "Wrenfield", "Yarrowby",
)  # fmt: skip
PRAISE = (
    "Made to be used daily and repaired when it is needed.",
    "A plain design that does its work and stays out of the way.",
    "Checked by hand before it leaves the workshop.",
    "Comes in a recycled box without plastic.",
    "The favorite of everybody who has tried the prototype.",
    "Built for small spaces and large plans.",
    "Easy to clean, easy to store, hard to break.",
    "A gift that nobody will return.",
)
_SIZES = ("XS", "S", "M", "L", "XL")
_COLORS = ("Black", "White", "Sage", "Navy", "Rust", "Sand")
DEPARTMENTS = (
    Department("kitchen", "standard", ("Saucepan", "Kettle", "Chopping Board", "Colander", "Whisk", "Teapot"),
               ("Steel", "Enamel", "Beech", "Copper"), 900, 9000, 900, "Size", ("Small", "Medium", "Large")),
    Department("clothing", "clothing", ("T-Shirt", "Sweater", "Shirt", "Jacket", "Trousers", "Skirt"),
               ("Cotton", "Wool", "Linen", "Denim"), 1500, 14000, 350, "Size", _SIZES),
    Department("stationery", "standard", ("Notebook", "Pencil Case", "Desk Tray", "Planner", "Letter Opener"),
               ("Paper", "Leather", "Oak", "Brass"), 300, 4500, 260, "Color", _COLORS),
    Department("outdoor", "standard", ("Lantern", "Tent", "Water Bottle", "Backpack", "Hammock"),
               ("Aluminum", "Canvas", "Nylon", "Steel"), 1200, 24000, 1400, "Color", _COLORS),
    Department("pantry", "food", ("Coffee", "Tea", "Granola", "Honey", "Olive Oil", "Chocolate"),
               ("Organic", "Dark", "Smoked", "Wild"), 350, 2900, 420, "Pack", ("Single", "Pack of 3", "Pack of 6")),
    Department("home", "standard", ("Cushion", "Table Lamp", "Blanket", "Vase", "Mirror", "Doormat"),
               ("Velvet", "Ceramic", "Jute", "Glass"), 1400, 16000, 1100, "Color", _COLORS),
    Department("toys", "standard", ("Puzzle", "Building Set", "Kite", "Marble Run", "Plush Bear"),
               ("Wooden", "Paper", "Cotton", "Tin"), 700, 6500, 480, "Age", ("3+", "6+", "9+")),
    Department("books", "books", ("Field Guide", "Cookbook", "Atlas", "Poetry Collection", "Mystery Novel"),
               ("Illustrated", "Pocket", "Annotated", "Collected"), 800, 4200, 500, "Format",
               ("Paperback", "Hardcover")),
    Department("software", "digital", ("Photo Editor", "Task Planner", "Font Family", "Sound Library", "Backup Tool"),
               ("Personal", "Professional", "Portable", "Classroom"), 500, 19900, 0, "License",
               ("1 device", "3 devices", "10 devices"), "digital"),
)  # fmt: skip
