"""What more than one package asks of the operating system: processes, users, locks, paths."""
