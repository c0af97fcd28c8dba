"""Grading again calls no model, and keeps the judge's verdicts that still hold."""
