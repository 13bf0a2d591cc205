"""Finished pictures that stay: a folder of PNG files by day, and an index over what the files say of themselves.

The files are the truth. What the index knows, the files say too, so it can be lost, broken or out of date at any time
and is made again. A favourite is an empty file beside its picture (`NAME.png.favourite`): it appears and goes in one
step of the file system, needs no room on a full disk and no agreement between two programs, never touches a finished
picture, and moves and survives with its folder as the picture does.
"""
