"""Runs over many images: the folder, the state of each image, and the tables of the run.

What belongs here: the folder of a run, its units of work, its records and the tables made of them.
What does not: finding the cells of an image (`inference`), and distributing units over machines
(`cluster`).

    store       RunStore, the folder: records, keys, files that a person changed, locks
    unit        predict_one(store, work, image), the unit of work: anywhere, in any order, once
    tables      make_tables(store), the tables made of the records when the units are done
    folder      predict_folder, both for many images in one process
    remeasure   the same from label images that were corrected
    reader      open_run(folder), for programs that read a run
    outputs     the registries of formats, for images and for the whole run

A cluster calls `RunStore.begin` once, `predict_one` for every image on any machine, and
`make_tables` at the end.
"""
