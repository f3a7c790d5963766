"""The command ``rvae-stem analyse IMAGE``: the page "Analyse your own image" as a program."""
