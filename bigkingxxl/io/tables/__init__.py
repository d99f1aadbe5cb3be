"""Tables of cells and images: what is measured, and CSV and Parquet files that hold it."""
