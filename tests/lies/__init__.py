"""Caches whose digests, records and seals are right and whose content lies, claim by claim."""
