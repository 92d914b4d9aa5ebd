"""Adapters of xattnmask for diffusers; the entry points name the modules, nothing is imported here."""
