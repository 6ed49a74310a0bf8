"""Weight files: opening those that other projects publish, and finding or downloading them."""
