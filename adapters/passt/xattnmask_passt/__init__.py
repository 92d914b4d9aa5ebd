"""PaSST as a judge for xattnmask."""
