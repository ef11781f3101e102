"""``python -m fedsim`` is the command."""

from fedsim.cli import main

if __name__ == "__main__":
    main()
