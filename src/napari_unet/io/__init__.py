"""Reading images and labels, and writing labels and tables, never half."""
