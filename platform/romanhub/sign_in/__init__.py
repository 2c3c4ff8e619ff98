"""How people sign in: accounts of one machine, or an institution's OpenID Connect provider."""
