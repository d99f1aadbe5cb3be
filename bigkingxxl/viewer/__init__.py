"""View cells, correct them and learn from the corrections, in a browser on this machine.

What belongs here: the page of `bigkingxxl view`, its server, and the contract between them. What
does not: anything that a command does without the page: the server calls the same functions.

Rooms:
    contract    the types of everything that server and page exchange
    server/     the server: what it serves, the journal of edits, background jobs
    page/       the page: TypeScript sources, and `dist/`, the built page that is shipped
"""
