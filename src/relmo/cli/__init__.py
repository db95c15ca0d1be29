"""The command line: main.py and one file per command. torch is imported inside the commands."""
