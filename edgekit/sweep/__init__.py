"""Many models, recipes and devices: which rows a grid has, and who makes them.

grid.py     a grid file, and the rows of its product
making.py   one row: export, bench, eval, each a cell (edgekit/cells.py); and all of them
engines.py  who runs rows: `local` processes; others by the entry point `edgekit.engines`
ray.py      on a Ray cluster
plans.py    the same for schedulers that are there: GitHub Actions, Slurm, make
"""
