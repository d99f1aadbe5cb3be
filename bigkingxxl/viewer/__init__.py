"""Look at cells, correct them and learn from the corrections, in a browser on this machine.

What belongs here: the page of `bigkingxxl view`, its server, and the contract between them. What
does not: anything that a command does without the page: the server calls the same functions.

Rooms:
    contract    everything that crosses the wire between server and page, as types
    server/     the server: what it serves, the journal of edits, background jobs
    page/       the page: TypeScript sources, and `dist/`, what is built of them and shipped
"""
