"""What is decided about GPUs: which camera belongs to which, and whose pictures are decoded there."""
