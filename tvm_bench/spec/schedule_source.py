"""What a kernel's schedule came from, in the words of manifests and tables."""

TUNED = "tuned"
KEPT = "default, faster than its record"  # in the model, with its neighbours' data in the caches
FAILED = "default, tuning failed"  # no schedule that the tuner tried has run
DEFAULT = "default"
SEARCHED = (TUNED, KEPT)
