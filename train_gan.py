#!/usr/bin/env python3
"""Trains UNETR-GAN on dataset/ (or --data DIR): see `bigkingxxl train --help`."""

from __future__ import annotations

import sys

from bigkingxxl.cli.main import app

if __name__ == "__main__":
    app(["train", "unetr_gan", *sys.argv[1:]], prog_name="train_gan.py")
