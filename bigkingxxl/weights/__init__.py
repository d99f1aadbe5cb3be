"""Shipped models, their cards and their licences; `bigkingxxl.shipped_models` lists them by name.

What belongs here: model files, each with a card and a licence. What does not: code; the module
`bigkingxxl.model_files` reads the files.
"""
