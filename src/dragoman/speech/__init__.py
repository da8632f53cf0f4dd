"""Speech: what a person says, as a text that a search can ask with: words, or units of sound."""
