"""The generated world: rendered scenes, captions in many languages by hand-written grammars, descriptors."""
