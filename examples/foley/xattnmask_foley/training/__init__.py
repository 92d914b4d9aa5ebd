"""How the foley models are trained: ``python -m xattnmask_foley.training --help``."""
