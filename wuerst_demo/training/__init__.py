"""Training of the cocktail, the small checkpoint that ships with the demo. Nothing in the app imports it."""
