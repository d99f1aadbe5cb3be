"""Data sets from elsewhere: downloads that resume, archives that cannot leave their folder."""
