"""What earlier versions of DaCapo left: read as it is, and rewritten when somebody asks for it."""
