"""From boxes to what people want to know: filters, counts, results. No I/O; time comes with the frames."""
