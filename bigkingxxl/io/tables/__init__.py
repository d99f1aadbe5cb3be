"""Tables of cells and images: measurements, and the CSV and Parquet files that store them.

What belongs here: measurements of cells, and reading and writing tables of them. What does not:
annotations in tables, such as Kaggle's (`io.annotations`).
"""
