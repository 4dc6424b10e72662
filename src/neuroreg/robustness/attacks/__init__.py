"""The attacks, a module a family, with the registry that names them."""
