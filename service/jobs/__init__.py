"""What a job is: specs, records, the lifecycle table, errors. No I/O and no asyncio."""
