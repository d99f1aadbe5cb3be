"""Shipped models, their cards and their licences; `bigkingxxl.shipped` lists them by name.

This folder holds model files, each with a card and a licence. It holds no code: `bigkingxxl.models`
reads the files.
"""
