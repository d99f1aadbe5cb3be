"""Image files: one reader per file format, each giving an `ImageSource`."""
