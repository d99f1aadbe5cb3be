"""What a data set holds and what is odd about it: doubtful cells, images of one place."""
