"""A made-up electron micrograph, a run that learns it, and a report of how that went."""
