"""Drawn explanations for the chapters: diagrams whose boxes hold real numbers, one module a subject.

`astlib.plots` draws data; this package draws ideas, and takes the chapter's numbers to do it.

Chapters: all; the first is notebooks/01_sound_to_spectrogram.ipynb.
"""
