"""Media that others made: images and frames of videos, opened without trusting them. No torch."""
