"""Runs over many images: the folder, the state of each image, and the tables of the run.

What belongs here: the folder of a run, its units of work, its records and the tables made of them.
What does not: finding the cells of an image (`inference`), and distributing units over machines
(`cluster`).

    store          RunStore, the folder: records, keys, files that a person changed, locks
    pipeline       what is done with every image; `outcome` is what became of it
    small_image    one image that fits into memory; `large` does the others block by block
    work_units     the units that are distributed: images, and blocks of large images
    tables         make_tables(store), the tables made of the records when the units are done
    folder         predict_folder, all of this for many images in one process
    remeasure      the same from label images that were corrected
    reader         open_run(folder), for programs that read a run
    outputs        the registries of formats, for images and for the whole run

A cluster calls `RunStore.begin` once, `do_unit` for every unit on any machine, `finish_image` for
every large image, and `make_tables` at the end.
"""
