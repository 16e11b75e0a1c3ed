"""Step 8: accuracy and agreement of one artifact, the inputs that it is timed on, and the outputs of its layers."""
