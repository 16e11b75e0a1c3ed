"""Step 8: latency, memory, accuracy and agreement of one artifact, and the machine they were measured on."""
