"""Every metric declared once, with the rows behind each number."""
