"""A package whose every type has one fault; each is caught by the check meant for it."""
