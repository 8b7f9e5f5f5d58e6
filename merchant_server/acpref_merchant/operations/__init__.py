"""One function per protocol operation: load, decide, persist. REST and MCP are thin edges over these."""
