"""Models by name or URL: a catalogue, and downloads into a cache folder."""
