"""Readers of text whose weights come with a package: where text stands, what it says, and questions about it.

A reader outlines lines of text with one detector and reads each outlined strip with its own recogniser. What it is
asked, and how it replies, is the language of r2i.ocr.tasks: the prompts of every other model.
"""
