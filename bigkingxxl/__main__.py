"""`python -m bigkingxxl`, the same as the `bigkingxxl` command."""

from bigkingxxl.cli.main import main

if __name__ == "__main__":
    main()
