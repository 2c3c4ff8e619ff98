"""Groups of commands of `hubquota`, each in a module of its own."""
