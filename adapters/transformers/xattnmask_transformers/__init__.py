"""Adapters of xattnmask for transformers; the entry points name the modules, nothing is imported here."""
