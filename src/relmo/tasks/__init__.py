"""What vectors are for: probes, word senses."""
