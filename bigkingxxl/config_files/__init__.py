"""Config files: read as data, never run; each value keeps the file and line of its origin.

    reading      `read_config(path)`: a file with all files that it extends
    extending    the meaning of `extends` and `without`
    python_text, yaml_text, toml_text, json_text     one syntax each: from text to values and lines
    plain        the values that a config may contain, and their limits
    overrides    `key=value` of the command line

What belongs here: reading a file, or `key=value`, into plain values. What does not: the meaning of
the values, which belongs to `bigkingxxl.settings`.
"""
