"""What the community's catalogue does. Everything here decides; `romanhub.community.storage` reads and writes."""
