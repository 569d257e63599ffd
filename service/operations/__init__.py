"""What an operator asks of a host: doctor, upgrade, what must hold before a service starts."""
