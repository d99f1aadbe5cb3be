"""Recipes: complete settings of a training under a name; each file is read and not run.

What belongs here: settings that were tried and measured. What does not: code, and settings of one
experiment: these belong into a file of yours that extends a recipe.
"""
