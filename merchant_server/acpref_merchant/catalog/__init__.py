"""Reading, importing, generating, loading and publishing products."""
