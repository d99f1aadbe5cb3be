#!/bin/sh
# Fetches the challenge's data from Kaggle into dataset/ (or the folder given): see
# `./get-data.sh --help` for the options, which are those of `bigkingxxl data download`.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
python="$here/.venv/bin/python"
[ -x "$python" ] || python=python3
PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -m bigkingxxl data download "$@"
