"""What a notebook uses: the archive, a Dask cluster and the balance.

The public names are exported by `romanhub` itself: `from romanhub import archive`, `romanhub.cluster()`
and `romanhub.balance()`.
"""
