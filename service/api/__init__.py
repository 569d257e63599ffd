"""The HTTP API: parse, call the engine, render. No decisions about jobs are made here."""
