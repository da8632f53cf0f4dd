"""From a model and media to an index: embedded once, kept up to date, swapped whole."""
