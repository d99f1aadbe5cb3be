"""How large an image shows its cells: given, stored in the file, or seen by the network."""
