"""A demo of Würstchen (Pernias, Rampas, Aubreville and others, ICLR 2024): text to image in a 42x compressed space.

Nothing happens on import. From Python, start with `wuerst_demo.api.load`.
"""

__version__ = "0.1.0"
