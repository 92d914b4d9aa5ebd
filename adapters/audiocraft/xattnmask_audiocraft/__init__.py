"""Adapters of xattnmask for audiocraft; the entry points name the modules, nothing is imported here."""
