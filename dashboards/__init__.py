"""The dashboard: a Dash app that reads one store, and nothing but reads it."""
