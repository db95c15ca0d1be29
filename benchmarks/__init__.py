"""How fast relmo is, against the machine's own ceiling and the usual ways: `make bench`."""
