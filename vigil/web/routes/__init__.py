"""One module per subject; each offers a function that returns its routes."""
