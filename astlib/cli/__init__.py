"""The command line: `astlib predict · train · evaluate · reproduce · recipes · data · results`.

Chapter: book/how_to_run.md
"""

from .main import app, main

__all__ = ["app", "main"]
