"""`python -m astlib.cli`, as torchrun and accelerate start it.

Chapter: book/how_to_run.md
"""

from .main import main

main()
