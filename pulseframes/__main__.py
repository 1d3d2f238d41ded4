"""``python -m pulseframes``, for where the script is not on the path."""

from pulseframes.cli import main

if __name__ == "__main__":
    main()
