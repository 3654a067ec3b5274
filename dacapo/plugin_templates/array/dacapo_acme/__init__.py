"""An array for DaCapo: another one with bright and dark swapped."""
