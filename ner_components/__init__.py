"""Interchangeable named entity recognition engines for spaCy."""

from importlib.metadata import version

__version__ = version("ner_components")
__all__ = ["__version__"]
