"""Shipped models, their cards and their licences; `bigkingxxl.shipped` knows them by name."""
