"""``python -m gradscope``: the same as the command ``gradscope``."""

from gradscope.cli import main

if __name__ == "__main__":
    main()
