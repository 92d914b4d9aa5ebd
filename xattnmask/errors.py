"""Every exception xattnmask raises on purpose.

All derive from :class:`XattnmaskError`, carry a one-line message that says what to do, and become exit
code 2 on the command line. Errors a caller may already catch by a built-in type also derive from it.
"""

from __future__ import annotations


class XattnmaskError(Exception):
    """Base class of every error raised on purpose by xattnmask and its plugins."""


class PromptError(XattnmaskError, ValueError):
    """The prompt is empty, or longer than the text encoder takes."""


class SettingError(XattnmaskError, ValueError):
    """A setting (duration, steps, layers, a mask's shape, ...) is out of range or inconsistent."""


class UnknownKeyError(XattnmaskError, LookupError):
    """No plugin offers this key; the message offers the nearest names."""


class MissingLibraryError(XattnmaskError, ImportError):
    """A plugin's library is not installed; the message holds the pip line to type."""


class PluginError(XattnmaskError):
    """A plugin could not be loaded, or breaks its contract."""


class PluginConflictError(PluginError):
    """Two distributions claim the same key; the message names both."""


class CheckpointError(XattnmaskError, OSError):
    """A checkpoint is missing, partial or corrupt."""


class OutputError(XattnmaskError, OSError):
    """An output folder cannot be written."""


class FormatError(XattnmaskError, ValueError):
    """A saved explanation is malformed, or of an unknown version."""


class NumericalError(XattnmaskError, ArithmeticError):
    """The model or the optimisation produced NaN or infinity; the message names the step."""


class PatchError(XattnmaskError, RuntimeError):
    """Base class of errors of patching a backbone."""


class SiteNotFoundError(PatchError):
    """A site's module path does not exist in the backbone."""


class SiteNotSeenError(PatchError):
    """A patched site ran, but its attention call never passed through torch; or it never ran at all.

    Without this error the patch would silently do nothing.
    """


class SiteCallCountError(PatchError):
    """A patched site made more attention calls than it declares."""
