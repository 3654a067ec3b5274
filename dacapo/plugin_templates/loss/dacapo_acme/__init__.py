"""A loss for DaCapo: squared errors where they are small, absolute ones where they are large."""
