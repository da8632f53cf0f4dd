"""Models that learn: text and vision encoders, the dual and the fusion encoder, and their folder."""
