"""A post-processor for DaCapo, and a task that uses it: objects that are thin everywhere are left out."""
