"""What an operator does on a host: doctor, supervisor upgrade, checks before a start."""
