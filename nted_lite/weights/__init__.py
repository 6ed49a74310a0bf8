"""Weight files: what other projects publish, and where files of weights lie."""
