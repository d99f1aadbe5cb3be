"""Config files: read as data, never run, each value with the file and line that it came from.

    reading      `read_config(path)`: a file with all that it extends
    extending    what `extends` and `without` mean
    python_text, yaml_text, toml_text, json_text     one syntax each: text in, values and lines out
    plain        which values a config may hold, and how many
    overrides    `key=value` of the command line

What belongs here: reading a file, or `key=value`, into plain values. What does not: what the values
mean, which is the business of `bigkingxxl.settings`.
"""
