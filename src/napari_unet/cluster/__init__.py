"""The same run on more than one process: by a dask cluster, or by array jobs that share a journal."""
