"""Where results go: each sink has its own bounded queue and never holds up the inference loop."""
