"""Models as a user asks them: trained, exported or public; texts and images in, unit vectors out."""
