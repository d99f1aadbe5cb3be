"""Shipped models, their cards and their licences; `bigkingxxl.shipped` knows them by name.

What belongs here: model files, a card and a licence for each. What does not: code:
`bigkingxxl.models` reads them.
"""
