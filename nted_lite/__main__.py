"""`python -m nted_lite` is `nted-lite`; torchrun starts it so."""

from nted_lite.cli import main

main()
