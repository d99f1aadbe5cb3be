"""One run spread over processes and machines; the results are those of one process, to the byte.

What belongs here: handing units of a run to processes and machines, and the scripts for schedulers.
What does not: what a unit does (`runs.unit`), and training on several devices (`training.devices`).

    job        Job, what any process needs to know to do units of a run; Station, a process at work
    drive      run_job, which hands tasks to an engine until all are done
    pool       an engine of processes of this machine
    dask       an engine on a Dask cluster
    templates  scripts for SLURM, Nextflow and Snakemake

A task names a file, an image of it or a block; what comes back is what became of it, never pixels
or cells: these are in the run's folder, which all processes share.
"""
