"""HTML pages: what reports and the demonstration show to a person."""
