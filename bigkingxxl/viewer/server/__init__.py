"""The server: serves the images and cells of a folder to the page, and stores corrections.

What belongs here: answering the page: sessions, edits, background jobs. What does not: the
prediction, measurement and training themselves (`inference`, `runs`, `training`).

Rooms:
    serve       the URL, the port and the browser; runs until it is stopped
    app         the routes of the contract
    access      access control: token, host, origin, sizes of requests
    workspace   a folder: its images, their cells and results; `run_workspace`, `files_workspace`
                and `dataset_workspace` are its kinds, and `open_workspace` chooses one
    session     the work behind the routes; `image_cache` keeps the pictures, `offered_candidates`
                the candidates that can be added as cells
    document_store  the documents of a folder, open and on disk; `folder_claim` decides who may
                write them
    document    the current cells of one image; accepts edits
    journal     edits on disk, and the files derived from them
    pixels      images as pictures: levels, tiles, thumbnails
    events      notifications for all windows
    jobs        background jobs, one at a time: `predict_job`, `apply_job`, `export_job`,
                `learn_job`
"""
