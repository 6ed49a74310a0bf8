"""`python -m nted_lite` is the same as `nted-lite`; torchrun starts it this way."""

from nted_lite.cli import main

main()
