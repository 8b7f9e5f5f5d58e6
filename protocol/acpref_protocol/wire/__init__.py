"""What travels in each dated version: one module per version, which defines only what that version changed."""
