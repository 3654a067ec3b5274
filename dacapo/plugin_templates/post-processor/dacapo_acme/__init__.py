"""A post-processor for DaCapo: objects that are thin everywhere are left out."""
