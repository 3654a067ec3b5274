"""A dataset for DaCapo: balls that are made up."""
