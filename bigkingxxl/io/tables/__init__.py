"""Tables of cells and images: what is measured, and CSV and Parquet files that hold it.

What belongs here: measurements of cells, and reading and writing tables of them. What does not:
annotations that happen to be tables, as Kaggle has them (`io.annotations`).
"""
