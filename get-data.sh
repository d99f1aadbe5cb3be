#!/bin/sh
# Fetches the challenge's data from Kaggle into dataset/ (or the folder given): see
# `bigkingxxl data download --help`, whose options all work here.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
if [ -x "$here/.venv/bin/bigkingxxl" ]; then
    exec "$here/.venv/bin/bigkingxxl" data download "$@"
fi
exec bigkingxxl data download "$@"
