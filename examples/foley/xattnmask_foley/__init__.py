"""The foley world: a small world of sounds in which the words that cause each frame are known."""
