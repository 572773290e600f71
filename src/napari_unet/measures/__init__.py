"""What is measured of labels: a file is a measure."""
