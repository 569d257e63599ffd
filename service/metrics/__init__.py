"""What the service counts and measures, for Prometheus: the series, and how workers share them."""
