"""Schedule sources: where the schedule of a kernel comes from, as manifests and tables write it."""

TUNED = "tuned"
KEPT = "default, its record is not faster"  # measured inside the model, or as a whole model
FAILED = "default, tuning failed"  # every schedule that the tuner tried failed
DEFAULT = "default"
SEARCHED = (TUNED, KEPT)
