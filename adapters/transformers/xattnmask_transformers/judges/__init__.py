"""Audio classifiers of transformers, as judges: one module each, loaded alone."""
