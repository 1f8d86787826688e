"""Background jobs on Redis or Valkey: do this later, outside the web request."""
