"""The Agentic Commerce Protocol as code: models, schemas, state machine and pure helpers."""
