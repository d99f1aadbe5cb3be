"""Run units in several processes or on several machines, with the same results to the byte.

What belongs here: handing units of a run to processes and machines, and the scripts for schedulers.
What does not: the work of a unit (`runs.small_image`), and training on several devices
(`training.devices`).

    job        Job, the information that a process needs to do units of a run; Station,
               such a process
    dispatch   run_job, which hands tasks to an engine until all are done
    pool       an engine of processes of this machine
    dask       an engine on a Dask cluster; `dask_cluster` connects to one, and `dask_worker` is
               what its workers do
    templates  scripts for SLURM, Nextflow and Snakemake

A task names a file, an image of it or a block. The result is its outcome and never contains pixels
or cells, which are in the folder of the run that all processes share.
"""
