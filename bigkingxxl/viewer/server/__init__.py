"""The server: serves a folder's images and cells to the page, and keeps what is corrected.

What belongs here: answering the page: sessions, edits, background jobs. What does not: predicting,
measuring and learning themselves (`inference`, `runs`, `training`).

Rooms:
    serve       the address, the port, the browser; runs until it is stopped
    app         the routes of the contract
    access      who may ask: token, host, origin, sizes of requests
    workspace   what the folder is: its images, their cells, what is waiting
    document    the cells of one image as they are now; takes edits
    journal     edits on disk, and what is made of them
    pixels      images as pictures: levels, tiles, thumbnails
    events      what changed, for all windows
    jobs        work in the background: predicting, applying, exporting, learning
"""
