"""`python -m evermuse.client`: the command `evermuse`."""

from evermuse.client.main import main

if __name__ == "__main__":
    main()
