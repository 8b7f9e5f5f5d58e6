"""Foreign catalogs, one module per format: each yields native products and collects what it had to skip."""
