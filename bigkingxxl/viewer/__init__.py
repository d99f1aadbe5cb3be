"""Look at cells, correct them and learn from the corrections, in a browser on this machine.

Rooms:
    contract    everything that crosses the wire between server and page, as types
    server/     the server: what it serves, the journal of edits, background jobs
    page/       the page: TypeScript sources, and `dist/`, what is built of them and shipped
"""
