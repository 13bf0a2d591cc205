"""History of generated images: a folder of PNG files by day, and a searchable index of their prompts.

The files are the source of truth. The index can be rebuilt from them, so it may be lost, damaged or out of date at any
time. A favourite is an empty file beside its image (`NAME.png.favourite`): creating and deleting it is atomic, works on
a full disk and between programs, leaves the image untouched, and moves with the folder.
"""
