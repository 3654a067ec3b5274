"""A trainer for DaCapo: random patches, and gradient descent with momentum."""
