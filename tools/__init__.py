"""Small commands that keep the repository's files in step with each other; the demo never imports them."""
