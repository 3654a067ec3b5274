"""An augment for DaCapo: sections that are missing."""
