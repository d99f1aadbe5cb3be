#!/usr/bin/env python3
"""Converts dataset/ (or the folder given): see `bigkingxxl data preprocess --help`."""

from __future__ import annotations

import sys

from bigkingxxl.cli.main import app

if __name__ == "__main__":
    app(["data", "preprocess", *sys.argv[1:]], prog_name="preprocess-data.py")
